import { type ProcessConfig, processesOf } from '../builds/index.ts'
import { type Environment, openForChange } from '../environments/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import type { Database, Queryable, Transaction } from '../postgres/database.ts'
import type { QueuedDeploy } from './deploy.ts'
import type { Deploys } from './deploys.ts'
import type { Scale } from './plan-instances.ts'
import { countChange, findServed, lockState, readScale, type ServedRelease, writeScale } from './scale-store.ts'
import { assertScale, describeProcesses, type ProcessState, type Wish } from './scaling.ts'

/** The processes of an environment: how many instances they have, and starting them anew. */
export interface Processes {
  /** Those of the release that serves. */
  list(environment: Environment): Promise<ListedProcesses>
  /**
   * Says how many instances processes have from the next deploy on; with `now` that is a deploy of the release that serves.
   * Errors: `bad_request` with the reason, `not_found` for a process that there is not, `conflict` when the environment is not the
   * version that whoever scales it had seen, and then nothing is changed.
   */
  scale(environment: Environment, wish: Wish, how: ScaleOptions): Promise<QueuedDeploy | null>
  /** A deploy of the release that serves: new instances beside the old ones, checks, swap. No release is made. */
  restart(environment: Environment, by: string): Promise<QueuedDeploy>
}

export interface ScaleOptions {
  readonly by: string
  readonly now: boolean
  readonly ifVersion?: number | null
}

export interface ListedProcesses {
  /** null: nothing was deployed yet. */
  readonly release: number | null
  readonly processes: readonly ProcessState[]
}

interface Needs {
  readonly db: Database
  readonly deploys: Pick<Deploys, 'request' | 'wake'>
}

export function makeProcesses({ db, deploys }: Needs): Processes {
  const again = async (
    tx: Transaction,
    environment: Environment,
    { kind, by }: { kind: 'restart' | 'scale'; by: string },
  ): Promise<QueuedDeploy> => {
    const { id: environmentId, name, app } = environment
    if ((await lockState(tx, environmentId)) === 'stopped') {
      throw new SlipwayError('conflict', `${name} of ${app} is stopped.`, {
        hint: `Start it: slipway envs start ${name} -a ${app}`,
      })
    }
    const { branch, commit } = await getServed(tx, environment)
    return deploys.request(tx, { environmentId, kind, branch, commit, requestedBy: by, pushId: null })
  }

  return {
    async list({ id, live }) {
      const [served, scale] = await Promise.all([findServed(db, id), readScale(db, id)])
      const running = new Map(Object.entries(served?.running ?? {}))
      const known = served === null ? awaited(scale) : processesOf(served.config)
      return { release: served?.number ?? null, processes: describeProcesses(known, { live, scale, running }) }
    },
    async scale(environment, wish, { by, now, ifVersion }) {
      const { id: environmentId, app, name, live, appId } = environment
      const queued = await db.transaction(async (tx) => {
        await openForChange(tx, environmentId, ifVersion ?? undefined)
        const served = await findServed(tx, environmentId)
        const processes = served === null ? null : processesOf(served.config)
        assertScale(wish, { app, environment: name, live, processes })
        const before = await readScale(tx, environmentId)
        const changed = Object.entries(wish).filter(
          ([process, count]) => count !== (before.get(process)?.instances ?? null),
        )
        for (const [process, instances] of changed) await writeScale(tx, { environmentId, process, instances, by })
        if (changed.length > 0) {
          await countChange(tx, environmentId)
          const old = Object.fromEntries(changed.map(([process]) => [process, before.get(process)?.instances ?? null]))
          const data = { environment: name, change: Object.fromEntries(changed), before: old, now }
          await appendEvent(tx, { kind: 'environment.scaled', appId, environmentId, by, data })
        }
        return now ? again(tx, environment, { kind: 'scale', by }) : null
      })
      if (queued !== null) deploys.wake()
      return queued
    },
    async restart(environment, by) {
      const queued = await db.transaction((tx) => again(tx, environment, { kind: 'restart', by }))
      deploys.wake()
      return queued
    },
  }
}

/** Before the first deploy: which processes there will be is not known, but for those that somebody asked for. */
function awaited(scale: Scale): ProcessConfig[] {
  const [web, ...others] = processesOf({})
  const asked = [...scale.keys()].filter((name) => name !== web?.name)
  return [...(web === undefined ? [] : [web]), ...others, ...asked.map((name) => ({ name, run: null, instances: 0 }))]
}

async function getServed(q: Queryable, { id, name, app }: Environment): Promise<ServedRelease> {
  const served = await findServed(q, id)
  if (served !== null) return served
  throw new SlipwayError('conflict', `Nothing was deployed to ${name} of ${app} yet.`, {
    hint: `Deploy first: slipway deploy ${name} -a ${app}`,
  })
}
