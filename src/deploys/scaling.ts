import { mostInstances, type ProcessConfig, whyNotProcessName } from '../builds/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { quote } from '../kernel/names.ts'
import { countInstances, type Scale } from './plan-instances.ts'

/** How many instances a person wants of a process; null: as many as slipway.yml says. */
export type Wish = Readonly<Record<string, number | null>>

/** A process of an environment: how many run, how many the next deploy starts. */
export interface ProcessState {
  readonly name: string
  /** null: the image's own. */
  readonly run: string | null
  readonly running: number
  readonly wanted: number
  /** Who has asked for this number, and when; null: it is what slipway.yml says. */
  readonly scaled: { readonly by: string; readonly at: Date } | null
}

/** Where a scale is to hold. */
export interface Scaled {
  readonly app: string
  readonly environment: string
  readonly live: boolean
  /** Those of the release that serves; null when nothing was deployed yet, and any may come. */
  readonly processes: readonly ProcessConfig[] | null
}

/** Throws `bad_request`, or `not_found` for a process that there is not, with the reason. */
export function assertScale(wish: Wish, where: Scaled): void {
  for (const [process, count] of Object.entries(wish)) {
    assertProcess(process, where)
    if (count !== null) assertCount(process, count, where)
  }
}

function assertProcess(process: string, { app, environment, processes }: Scaled): void {
  const why = whyNotProcessName(process)
  if (why !== null) throw new SlipwayError('bad_request', `${quote(process)} cannot be scaled: such a name ${why}.`)
  if (processes === null || processes.some(({ name }) => name === process)) return
  throw new SlipwayError('not_found', `What runs in ${environment} of ${app} has no process ${quote(process)}.`, {
    hint: `It has: ${processes.map(({ name }) => name).join(', ')}. Others are named in slipway.yml (processes) or in a Procfile.`,
  })
}

function assertCount(process: string, count: number, { app, environment, live }: Scaled): void {
  if (!Number.isInteger(count) || count < 0 || count > mostInstances) {
    const range = `${process} can have ${process === 'web' ? 1 : 0} to ${mostInstances} instances, not ${count}`
    throw new SlipwayError('bad_request', `${range}: all instances of an app share one machine.`)
  }
  if (process !== 'web') return
  if (count === 0) {
    throw new SlipwayError('bad_request', 'web needs at least one instance: without it nothing answers requests.', {
      hint: `To stop the environment: slipway envs stop ${environment} -a ${app}`,
    })
  }
  if (count > 1 && !live) {
    throw new SlipwayError(
      'bad_request',
      `Only the live environment has more than one web; ${environment} is for trying things out. Its workers can be scaled.`,
    )
  }
}

/** What the processes are now, and what they will be after the next deploy. */
export function describeProcesses(
  processes: readonly ProcessConfig[],
  { live, scale, running }: { live: boolean; scale: Scale; running: ReadonlyMap<string, number> },
): ProcessState[] {
  return processes.map((process) => {
    const asked = scale.get(process.name)
    return {
      name: process.name,
      run: process.run,
      running: running.get(process.name) ?? 0,
      wanted: countInstances(process, { live, scale }),
      scaled: asked === undefined ? null : { by: asked.by, at: asked.at },
    }
  })
}
