import { setTimeout as sleep } from 'node:timers/promises'
import type Docker from 'dockerode'
import { baseLabel } from '../../builds/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import { type BuildLabels, namesOf } from './build-labels.ts'
import { type Engine, engineReason, isNotFound } from './engine.ts'
import { inspectContainer } from './containers.ts'
import { inspectImage } from './built-image.ts'
import { labelNames } from '../../runtime/index.ts'

/** Removing layers is disk work. */
const removeTimeoutMs = 60_000

/** The builds of which there is any container or image. */
export async function listBuildTraces(engine: Engine, own: BuildLabels): Promise<number[]> {
  const filters = own.filterOf(null)
  const [containers, images] = await Promise.all([
    engine.call('containers', (docker) => docker.listContainers({ all: true, filters })),
    engine.call('images', (docker) => docker.listImages({ all: true, filters } as Docker.ListImagesOptions)),
  ])
  const ids = [...containers, ...images].map(({ Labels }) => Number(Labels[labelNames.build]))
  return [...new Set(ids.filter(Number.isSafeInteger))]
}

/** The builds of which there are images without a name that nothing stands on. */
export async function listLeftOverBuilds(engine: Engine, own: BuildLabels): Promise<number[]> {
  const filters = { ...own.filterOf(null), dangling: ['true'] }
  const images = await engine.call('images', (docker) => docker.listImages({ filters } as Docker.ListImagesOptions))
  return [...new Set(images.map(({ Labels }) => Number(Labels[labelNames.build])).filter(Number.isSafeInteger))]
}

/** Containers of a build's steps, running or not. */
export async function removeBuildContainers(engine: Engine, own: BuildLabels, buildId: number): Promise<void> {
  const found = await engine.call('containers', (docker) =>
    docker.listContainers({ all: true, filters: own.filterOf(buildId) }),
  )
  await Promise.all(
    found.map(({ Id }) =>
      engine
        .call('remove container', (docker) => docker.getContainer(Id).remove({ force: true, v: true }), {
          timeoutMs: removeTimeoutMs,
        })
        .catch(async (error: unknown) => {
          if (isNotFound(error)) return
          if (!isConflict(error)) throw error
          // The engine removes it itself; until it is gone its image is in use.
          for (let i = 0; i < 50 && (await inspectContainer(engine, Id)) !== null; i++) await sleep(100)
        }),
    ),
  )
}

/** Images of a build's steps that its finished image (if there is one) does not stand on; the newest first. */
export async function removeIntermediates(engine: Engine, own: BuildLabels, buildId: number): Promise<void> {
  const how = { all: true, filters: own.filterOf(buildId) } as Docker.ListImagesOptions
  let left = await engine.call('images', (docker) => docker.listImages(how))
  const ids = new Set(left.map((image) => image.Id))
  for (;;) {
    const parents = new Set(left.map((image) => image.ParentId))
    const leaves = left.filter((image) => !parents.has(image.Id) && namesOf(image.RepoTags).length === 0)
    if (leaves.length === 0) return
    for (const { Id, ParentId, Labels } of leaves) {
      const removed = await removeImage(engine, Id)
      if (removed && !ids.has(ParentId)) await removeParents(engine, own, ParentId, Labels[baseLabel])
    }
    left = left.filter((image) => !leaves.includes(image))
  }
}

/** A finished image and the images that it stands on, as far as they are this installation's and nobody else's needs. */
export async function removeBuiltImage(engine: Engine, own: BuildLabels, name: string): Promise<void> {
  const image = await inspectImage(engine, name)
  if (image === null || !own.isOwn(image.Config.Labels)) return
  const tags = namesOf(image.RepoTags)
  const ownTag = own.tagOf(Number(image.Config.Labels[labelNames.build]))
  if (tags.includes(ownTag) && !(await removeImage(engine, ownTag))) return
  // Somebody gave it a name of their own, so it is theirs to keep.
  if (tags.some((tag) => tag !== ownTag)) return
  if (tags.length === 0 && !(await removeImage(engine, image.Id))) return
  await removeParents(engine, own, image.Parent, image.Config.Labels[baseLabel])
}

/** Up to the base image: steps carry the labels, and those of the base's triggers stand between it and them. */
async function removeParents(engine: Engine, own: BuildLabels, first: string, base: string | undefined): Promise<void> {
  for (let parent = first; parent !== '' && parent !== base; ) {
    const image = await inspectImage(engine, parent)
    if (image === null || namesOf(image.RepoTags).length > 0) return
    if (base === undefined && !own.isOwn(image.Config.Labels)) return
    if (!(await removeImage(engine, parent))) return
    parent = image.Parent
  }
}

/** False when the engine keeps it: in use, or something stands on it. */
async function removeImage(engine: Engine, name: string): Promise<boolean> {
  try {
    // The engine's own pruning would also take parents that are not Slipway's.
    await engine.call('remove image', (docker) => docker.getImage(name).remove({ noprune: true }) as Promise<unknown>, {
      timeoutMs: removeTimeoutMs,
    })
    return true
  } catch (error) {
    if (isNotFound(error)) return true
    // What somebody else removes at the same moment is told as an error of the engine's.
    if (/unrecognized image ID/.test(engineReason(error))) return true
    if (isConflict(error)) return false
    throw error
  }
}

const isConflict = (error: unknown): boolean => error instanceof SlipwayError && error.code === 'conflict'
