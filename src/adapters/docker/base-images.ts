import {
  assertImageAllowed,
  type Dockerfile,
  type ImageReference,
  isImageId,
  limitTriggers,
  type LocalImage,
  mayBeOutdated,
  readTriggers,
} from '../../builds/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import { type Engine, orNull } from './engine.ts'
import { pullImage } from './pull-image.ts'

export interface BaseOptions {
  readonly pull: 'always' | 'missing'
  readonly onLine: (line: string) => void
  readonly signal: AbortSignal
}

/** Ids of the images that a build may use, by `keyOf`. */
export type BaseImages = ReadonlyMap<string, LocalImage>

export const keyOf = (reference: ImageReference): string => `${reference.name} ${reference.platform ?? ''}`

/**
 * Makes the images that a Dockerfile needs ready: pulled anew as far as they come from a registry, and none of them somebody
 * else's. What it resolves with are ids, so that the build uses what was looked at.
 */
export async function prepareBases(engine: Engine, file: Dockerfile, options: BaseOptions): Promise<BaseImages> {
  const byKey = new Map(file.images.map((reference) => [keyOf(reference), reference]))
  // A name that stands in several places is judged in the strictest: one that the build needs.
  for (const reference of file.images) if (isNeeded(reference)) byKey.set(keyOf(reference), reference)
  const found = await Promise.all(
    [...byKey].map(async ([key, reference]) => [key, await prepareOne(engine, reference, options)] as const),
  )
  const images = new Map<string, LocalImage>()
  for (const [key, image] of found) if (image !== null) images.set(key, image)
  await checkTriggers(engine, file, images, options.signal)
  return images
}

const isNeeded = (reference: ImageReference): boolean => reference.role === 'base' || reference.role === 'copy'

async function prepareOne(engine: Engine, reference: ImageReference, options: BaseOptions): Promise<LocalImage | null> {
  const local = await findImage(engine, reference.name, options.signal)
  if (local !== null) assertImageAllowed(reference, local)
  if (!isNeeded(reference)) return local
  if (local !== null && !mayBeOutdated(reference, local)) return local
  if (local !== null && isImageId(reference, local)) return local
  if (local !== null && options.pull === 'missing') {
    options.onLine(`Base image ${reference.name}: the copy of this host is used, it was not refreshed`)
    return local
  }
  if (local === null && /^(?:sha256:)?[0-9a-f]{12,64}$/.test(reference.name)) {
    throw new SlipwayError('build_failed', `The engine has no image ${reference.name} (line ${reference.line}).`, {
      hint: 'Name the image by its repository and tag.',
    })
  }
  await pullImage(engine, reference, options)
  const pulled = await findImage(engine, reference.name, options.signal)
  if (pulled === null) {
    throw new SlipwayError('unavailable', `The base image ${reference.name} vanished while it was pulled.`)
  }
  assertImageAllowed(reference, pulled)
  return pulled
}

/** A base image runs its ONBUILD instructions in the build; they may name images too. */
async function checkTriggers(engine: Engine, file: Dockerfile, images: BaseImages, signal: AbortSignal): Promise<void> {
  const triggersOf = (image: ImageReference): readonly string[] => images.get(keyOf(image))?.triggers ?? []
  limitTriggers(file, triggersOf)
  for (const [index, stage] of file.stages.entries()) {
    if (stage.from.kind !== 'image') continue
    const triggers = triggersOf(stage.from.image)
    for (const reference of readTriggers(triggers, file.stages.slice(0, index), stage.line)) {
      const image = await findImage(engine, reference.name, signal)
      if (image !== null) assertImageAllowed(reference, image)
    }
  }
}

async function findImage(engine: Engine, name: string, signal: AbortSignal): Promise<LocalImage | null> {
  const found = await orNull(engine.call('image', (docker) => docker.getImage(name).inspect(), { signal }))
  if (found === null) return null
  return {
    id: found.Id,
    tags: found.RepoTags ?? [],
    digests: found.RepoDigests ?? [],
    labels: found.Config.Labels ?? {},
    variables: found.Config.Env ?? [],
    triggers: (found.Config.OnBuild as string[] | null) ?? [],
  }
}
