import type Docker from 'dockerode'
import type { BuiltImage, ImageHealthcheck } from '../../builds/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import type { BuildLabels } from './build-labels.ts'
import { type Engine, orNull } from './engine.ts'
import { rememberImage } from './image-facts.ts'

export function inspectImage(engine: Engine, name: string): Promise<Docker.ImageInspectInfo | null> {
  return orNull(engine.call('image', (docker) => docker.getImage(name).inspect()))
}

/** The finished image of a build, or null. The tag is only where to look. */
export async function findBuiltImage(engine: Engine, own: BuildLabels, buildId: number): Promise<BuiltImage | null> {
  const image = await inspectImage(engine, own.tagOf(buildId))
  return image !== null && own.isOwn(image.Config.Labels, buildId) ? toBuiltImage(image) : null
}

/** The image as built; throws when it does not carry its labels, because then nothing could tell whose it is. */
export async function readBuiltImage(
  engine: Engine,
  digest: string,
  labels: Readonly<Record<string, string>>,
): Promise<BuiltImage> {
  const image = await inspectImage(engine, digest)
  if (image === null) throw new SlipwayError('unavailable', 'The finished image vanished from the engine.')
  const given = image.Config.Labels ?? {}
  if (Object.entries(labels).some(([name, value]) => given[name] !== value)) {
    throw new SlipwayError('build_failed', 'The build was refused: labels that begin with slipway. are Slipway’s own.')
  }
  rememberImage(engine, image)
  return toBuiltImage(image)
}

function toBuiltImage(image: Docker.ImageInspectInfo): BuiltImage {
  const exposed = Object.keys(image.Config.ExposedPorts ?? {})
  return {
    digest: image.Id,
    sizeBytes: image.Size,
    exposedPorts: exposed
      .filter((port) => port.endsWith('/tcp'))
      .map((port) => Number.parseInt(port, 10))
      .sort((a, b) => a - b),
    healthcheck: toHealthcheck(image.Config.Healthcheck),
  }
}

function toHealthcheck(
  check: { Test?: string[] | undefined; Timeout?: number | undefined } | null | undefined,
): ImageHealthcheck | null {
  const [kind, ...words] = check?.Test ?? []
  const timeoutMs = check?.Timeout === undefined || check.Timeout === 0 ? null : Math.round(check.Timeout / 1e6)
  if (kind === 'CMD' && words.length > 0) return { argv: words, timeoutMs }
  if (kind === 'CMD-SHELL' && words[0] !== undefined) return { argv: ['/bin/sh', '-c', words[0]], timeoutMs }
  return null
}
