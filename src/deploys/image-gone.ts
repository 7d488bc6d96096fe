import { SlipwayError } from '../kernel/errors.ts'
import { shortCommit } from '../kernel/short-commit.ts'
import type { Deploy } from './deploy.ts'

interface GoneOptions {
  readonly isOld?: boolean
  /** An older release that can be gone back to. */
  readonly instead?: number | null
  /** What builds it again, where there is something better than a deploy of its commit. */
  readonly again?: string
}

/** What nothing can be started from any more: its commit can be built again. */
export function imageGoneError(
  release: string,
  { app, commit, environment }: Pick<Deploy, 'app' | 'commit' | 'environment'>,
  {
    isOld = false,
    instead = null,
    again = `slipway deploy ${environment} --commit ${shortCommit(commit)} -a ${app}`,
  }: GoneOptions = {},
): SlipwayError {
  const why = isOld
    ? 'it was too old to be kept (SLIPWAY_KEEP_RELEASES says how many are)'
    : 'somebody removed it from the engine'
  const older =
    instead === null
      ? ''
      : `. The one before it can be gone back to: slipway rollback ${environment} v${instead} -a ${app}`
  return new SlipwayError('conflict', `The image of ${release} is gone: ${why}.`, {
    hint: `To build its commit again, with the variables of today: ${again}${older}`,
  })
}
