import type Docker from 'dockerode'
import { SlipwayError } from '../../kernel/errors.ts'
import type { Engine } from './engine.ts'

/** What starting a container needs to know of its image. */
export interface ImageFacts {
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
}

/** An image never changes behind its digest: asked once, or never when this process has just built it. */
const known = new WeakMap<Engine, Map<string, ImageFacts>>()

export function rememberImage(engine: Engine, { Id, Config }: Docker.ImageInspectInfo): ImageFacts {
  const images = known.get(engine) ?? new Map<string, ImageFacts>()
  known.set(engine, images)
  const facts = { entrypoint: [Config.Entrypoint ?? []].flat(), command: Config.Cmd ?? [] }
  // A host has some hundreds of images; old ones go with their releases.
  if (images.size >= 1000) images.clear()
  images.set(Id, facts)
  return facts
}

export async function readImage(engine: Engine, digest: string): Promise<ImageFacts> {
  const remembered = known.get(engine)?.get(digest)
  if (remembered !== undefined) return remembered
  const found = await engine.call('inspect image', (docker) => docker.getImage(digest).inspect())
  if (found.Id === digest) return rememberImage(engine, found)
  throw new SlipwayError('start_failed', 'The engine has another image under this digest.', {
    hint: 'Deploy the commit again: slipway deploy',
  })
}
