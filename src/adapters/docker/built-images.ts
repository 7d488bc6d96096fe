import type Docker from 'dockerode'
import type { BuiltImage, ImageHealthcheck } from '../../builds/index.ts'
import { labelNames } from '../../runtime/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import { type Engine, isNotFound, orNull } from './engine.ts'

/*
 * The images that builds made, and what an unfinished build left. Everything goes by labels; the tag only keeps
 * `docker image prune` from taking a release's image, and tells the finished image of a build from its intermediate ones.
 */

/** Removing layers is disk work. */
const removeTimeoutMs = 60_000

export interface BuiltImages {
  readonly tagOf: (buildId: number) => string
  readonly labelsOf: (buildId: number, app: string) => Record<string, string>
  find(buildId: number): Promise<BuiltImage | null>
  /** The image as built; throws when it does not carry its labels, because then nothing could tell whose it is. */
  read(digest: string, labels: Readonly<Record<string, string>>): Promise<BuiltImage>
  /** Containers and intermediate images; with `finished` the finished image too. */
  removeTraces(buildId: number, options: { finished: boolean }): Promise<void>
  /** Images of stages that the finished one does not stand on. */
  removeIntermediates(buildId: number): Promise<void>
  remove(digest: string): Promise<void>
}

export function makeBuiltImages(engine: Engine, installation: string): BuiltImages {
  const tagOf = (buildId: number): string => `slipway-${installation}/build:${buildId}`
  const inspect = (name: string): Promise<Docker.ImageInspectInfo | null> =>
    orNull(engine.call('image', (docker) => docker.getImage(name).inspect()))
  const isOwn = (labels: Readonly<Record<string, string>> | null | undefined, buildId?: number): boolean =>
    labels?.[labelNames.installation] === installation &&
    labels[labelNames.kind] === 'build' &&
    (buildId === undefined || labels[labelNames.build] === String(buildId))
  const filterOf = (buildId: number): { label: string[] } => ({
    label: [`${labelNames.installation}=${installation}`, `${labelNames.build}=${buildId}`, `${labelNames.kind}=build`],
  })

  /** False when the engine keeps it: in use, or something stands on it. */
  const removeOne = async (name: string): Promise<boolean> => {
    try {
      // The engine's own pruning would also take parents that are not Slipway's.
      await engine.call(
        'remove image',
        (docker, abortSignal) => docker.getImage(name).remove({ noprune: true, abortSignal }) as Promise<unknown>,
        { timeoutMs: removeTimeoutMs },
      )
      return true
    } catch (error) {
      if (isNotFound(error)) return true
      if (error instanceof SlipwayError && error.code === 'conflict') return false
      throw error
    }
  }

  const removeContainers = async (buildId: number): Promise<void> => {
    const found = await engine.call('containers', (docker, abortSignal) =>
      docker.listContainers({ all: true, filters: filterOf(buildId), abortSignal }),
    )
    await Promise.all(
      found.map(({ Id }) =>
        engine
          .call('remove container', (docker) => docker.getContainer(Id).remove({ force: true, v: true }), {
            timeoutMs: removeTimeoutMs,
          })
          .catch((error: unknown) => {
            // Gone already, or being removed by the engine itself.
            if (!isNotFound(error) && !(error instanceof SlipwayError && error.code === 'conflict')) throw error
          }),
      ),
    )
  }

  const removeIntermediates = async (buildId: number): Promise<void> => {
    const found = await engine.call('images', (docker, abortSignal) =>
      docker.listImages({ all: true, filters: filterOf(buildId), abortSignal } as Docker.ListImagesOptions),
    )
    let left = found
    for (;;) {
      const parents = new Set(left.map((image) => image.ParentId))
      const leaves = left.filter((image) => !parents.has(image.Id) && namesOf(image.RepoTags).length === 0)
      if (leaves.length === 0) return
      await Promise.all(leaves.map((image) => removeOne(image.Id)))
      left = left.filter((image) => !leaves.includes(image))
    }
  }

  const removeFinished = async (image: Docker.ImageInspectInfo): Promise<void> => {
    const own = namesOf(image.RepoTags).filter((tag) => tag.startsWith(`slipway-${installation}/build:`))
    const foreign = namesOf(image.RepoTags).length - own.length
    for (const tag of own) if (!(await removeOne(tag))) return
    if (foreign > 0 || (own.length === 0 && !(await removeOne(image.Id)))) return
    // What it stood on, as long as that is Slipway's and nothing else stands on it.
    for (let parent = image.Parent; parent !== ''; ) {
      const next = await inspect(parent)
      if (next === null || !isOwn(next.Config.Labels) || namesOf(next.RepoTags).length > 0) return
      if (!(await removeOne(parent))) return
      parent = next.Parent
    }
  }

  return {
    tagOf,
    labelsOf: (buildId, app) => ({
      [labelNames.installation]: installation,
      [labelNames.app]: app,
      [labelNames.build]: String(buildId),
      [labelNames.kind]: 'build',
    }),
    async find(buildId) {
      const image = await inspect(tagOf(buildId))
      return image !== null && isOwn(image.Config.Labels, buildId) ? toBuiltImage(image) : null
    },
    async read(digest, labels) {
      const image = await inspect(digest)
      if (image === null) throw new SlipwayError('unavailable', 'The finished image vanished from the engine.')
      const given = image.Config.Labels ?? {}
      if (Object.entries(labels).some(([name, value]) => given[name] !== value)) {
        throw new SlipwayError(
          'build_failed',
          'The build was refused: labels that begin with slipway. are Slipway’s own.',
        )
      }
      return toBuiltImage(image)
    },
    async removeTraces(buildId, { finished }) {
      // The engine may have been about to make one more when it was told to stop.
      for (let round = 0; round < 2; round++) await removeContainers(buildId)
      const image = finished ? await inspect(tagOf(buildId)) : null
      if (image !== null && isOwn(image.Config.Labels, buildId)) await removeFinished(image)
      await removeIntermediates(buildId)
    },
    removeIntermediates,
    async remove(digest) {
      const image = await inspect(digest)
      if (image !== null && isOwn(image.Config.Labels)) await removeFinished(image)
    },
  }
}

/** The engine says `<none>:<none>` for no name in lists, and [] or null in details. */
function namesOf(tags: readonly string[] | null | undefined): string[] {
  return (tags ?? []).filter((tag) => tag !== '<none>:<none>')
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
