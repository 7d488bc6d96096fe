import { SlipwayError } from '../kernel/errors.ts'
import type { Queryable } from '../postgres/database.ts'
import type { InstanceSpec } from '../runtime/index.ts'
import { readReleaseSpec } from './release-spec.ts'
import { findServingDeploy } from './serving-store.ts'
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
  const deploy = await getDeploy(db, await servingDeployOf(db, environmentId))
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

/** The deploy that started what serves. */
async function servingDeployOf(q: Queryable, environmentId: number): Promise<number> {
  const found = await findServingDeploy(q, environmentId)
  if (found === null) throw new SlipwayError('not_found', 'There is no such environment.')
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
