import { SlipwayError } from '../kernel/errors.ts'
import type { Queryable } from '../postgres/database.ts'
import type { InstanceSpec } from '../runtime/index.ts'
import { readReleaseSpec } from './release-spec.ts'
import type { Tools } from './steps/step.ts'
import { getDeploy } from './store.ts'
import { wantedMemory } from './wanted-memory.ts'

/** A container beside the instances, of the release that serves. */
export interface OneOff {
  readonly releaseNumber: number
  /** What a release command of it would get. It belongs to no deploy: it outlives the release's retirement. */
  readonly container: InstanceSpec
  /** Throws `unavailable` when the host lacks the memory. What it resolves to is called when the container has ended. */
  readonly assertRoom: () => Promise<() => void>
}

/** Errors: `conflict` when nothing serves there. */
export async function readOneOff(tools: Tools, environmentId: number, runId: string): Promise<OneOff> {
  const { db, memory } = tools
  const deploy = await getDeploy(db, await findServingDeploy(db, environmentId))
  const spec = await readReleaseSpec(deploy, tools)
  const container = spec.run(runId)
  return {
    releaseNumber: spec.number,
    container,
    assertRoom: async () =>
      (await memory?.assertForStart(wantedMemory(db, environmentId, container.limits.memoryBytes))) ??
      (() => undefined),
  }
}

/** The newest deploy of the release that serves: it says with which branch and name. */
async function findServingDeploy(q: Queryable, environmentId: number): Promise<number> {
  const rows = await q.query<{ state: string; name: string; app: string; deployId: number | null }>(
    `select e.state, e.name, a.name as app, (
       select i.deploy_id from instances i where i.release_id = t.release_id and i.state = 'serving' order by i.id limit 1
     ) as "deployId"
     from environments e join apps a on a.id = e.app_id left join routes t on t.environment_id = e.id where e.id = $1`,
    [environmentId],
  )
  const [found] = rows
  if (found === undefined) throw new SlipwayError('not_found', 'There is no such environment.')
  const { state, name, app, deployId } = found
  if (state === 'removing') throw new SlipwayError('conflict', `The environment ${name} is being removed.`)
  if (state === 'stopped')
    throw new SlipwayError('conflict', `The environment ${name} is stopped: there is no release to run it in.`, {
      hint: `Start it: slipway envs start ${name} -a ${app}`,
    })
  if (deployId !== null) return deployId
  throw new SlipwayError('conflict', `Nothing is live in ${name} yet: there is no release to run it in.`, {
    hint: `Deploy it first: slipway deploy ${name} -a ${app}`,
  })
}
