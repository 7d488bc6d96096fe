import { SlipwayError } from '../kernel/errors.ts'

export interface RunLimits {
  readonly perEnvironment: number
  readonly overall: number
  readonly timeMs: number
}

/** Throws `unavailable` when one more would be too many. `running`: the environments of those that run. */
export function assertRoomForRun(
  running: readonly number[],
  environment: { readonly id: number; readonly name: string },
  limits: Pick<RunLimits, 'perEnvironment' | 'overall'>,
): void {
  const here = running.filter((id) => id === environment.id).length
  if (here >= limits.perEnvironment) {
    throw new SlipwayError('unavailable', `${count(here)} in ${environment.name} already, and more may not at once.`, {
      hint: 'Wait until one has ended, or end one. The limit is the server’s SLIPWAY_RUNS_PER_ENVIRONMENT.',
    })
  }
  if (running.length >= limits.overall) {
    throw new SlipwayError(
      'unavailable',
      `${count(running.length)} on this server already, and more may not at once.`,
      {
        hint: 'Try again in a while. The limit is the server’s SLIPWAY_RUNS.',
      },
    )
  }
}

const count = (runs: number): string => (runs === 1 ? 'One command runs' : `${runs} commands run`)
