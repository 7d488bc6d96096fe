import type { Builds, BuiltImage } from '../builds/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { shortCommit } from '../kernel/short-commit.ts'
import { type Deploy, nameOrigin, type Origin } from './deploy.ts'

/** What something was to start from, and where. */
export interface WantedImage extends Pick<Deploy, 'app' | 'environment' | 'commit'> {
  /** The release that has it. */
  readonly from: Pick<Origin, 'number' | 'environment'>
}

export interface GoneImage extends WantedImage {
  /** It was given up for its age; else somebody removed it from the engine. */
  readonly isOld?: boolean
  /** The number of an older release of the environment whose image is there. */
  readonly instead?: number | null
}

/** What nothing can be started from any more: its commit can be built again. */
export function imageGoneError(gone: GoneImage): SlipwayError {
  const { app, environment, from, isOld = false, instead = null } = gone
  const why = isOld
    ? 'it was too old to be kept (SLIPWAY_KEEP_RELEASES says how many are)'
    : 'somebody removed it from the engine'
  const older =
    instead === null
      ? ''
      : `. The one before it can be gone back to: slipway rollback ${environment} v${instead} -a ${app}`
  return new SlipwayError('conflict', `The image of ${nameOrigin(from, environment)} is gone: ${why}.`, {
    hint: `To build its commit again, with the variables of today: ${wayToRebuild(gone)}${older}`,
  })
}

export interface KeptImage extends WantedImage {
  readonly buildId: number
  /** Null: it was not given up. */
  readonly imageRemovedAt: Date | null
}

/** Throws `conflict`, with the way to build its commit again, when nothing may be started from this image any more. */
export async function assertImage(
  builds: Pick<Builds, 'get' | 'hasImage'>,
  { buildId, imageRemovedAt, ...wanted }: KeptImage,
  findInstead: () => Promise<number | null> = () => Promise.resolve(null),
): Promise<void> {
  const isOld = imageRemovedAt !== null
  const build = await builds.get(buildId)
  if (isOld || !(await builds.hasImage(build))) throw imageGoneError({ ...wanted, isOld, instead: await findInstead() })
  assertNotRevoked(wanted, build.image)
}

/**
 * Throws `conflict` for an image that was built with a value that was revoked since: nobody can tell where in it that is. What serves
 * already is kept up all the same.
 */
export function assertNotRevoked(wanted: WantedImage, image: Pick<BuiltImage, 'revoked'> | null): void {
  const names = image?.revoked ?? []
  if (names.length === 0) return
  const what = names.length === 1 ? `a value of ${names[0]}` : `values of ${names.join(', ')}`
  const release = nameOrigin(wanted.from, wanted.environment)
  throw new SlipwayError(
    'conflict',
    `The image of ${release} was built with ${what} that was revoked since, and may hold it.`,
    { hint: `To build its commit again, with the variables of today: ${wayToRebuild(wanted)}` },
  )
}

function wayToRebuild({ app, environment, from, commit }: WantedImage): string {
  if (from.number === null || from.environment === null)
    return `slipway deploy ${environment} --commit ${shortCommit(commit)} -a ${app}`
  if (from.environment === environment) return `slipway releases rebuild v${from.number} ${environment} -a ${app}`
  return `slipway promote ${from.environment} ${environment} -a ${app} --rebuild`
}
