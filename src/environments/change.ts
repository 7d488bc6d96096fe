import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import { parseBranchName } from '../kernel/names.ts'
import type { Transaction } from '../postgres/database.ts'
import { byOf, type Environment, type EnvironmentChange } from './environment.ts'
import * as store from './store.ts'

export interface ChangeOptions {
  readonly by?: string
  /** The version that whoever changes it has seen; left out: whatever it is now. */
  readonly ifVersion?: number
}

/** Changes an environment, in the order in which changes come: each sees what the one before left. */
export async function changeEnvironment(
  tx: Transaction,
  id: number,
  given: EnvironmentChange,
  { by, ifVersion }: ChangeOptions,
): Promise<void> {
  const branch = typeof given.branch === 'string' ? parseBranchName(given.branch) : given.branch
  const turnsOn = typeof branch === 'string' && given.deployOnPush === undefined
  const before = await openForChange(tx, id, ifVersion)
  const change: EnvironmentChange = {
    ...given,
    ...(branch === undefined ? {} : { branch }),
    ...(turnsOn ? { deployOnPush: true } : {}),
  }
  await store.updateEnvironment(tx, id, change)
  const data = { environment: before.name, change: { ...change }, before: pickBefore(before, change) }
  await appendEvent(tx, { kind: 'environment.changed', appId: before.appId, environmentId: id, ...byOf(by), data })
}

/** The environment as it is; nobody else changes it until the transaction ends. Throws when it is not what somebody had seen. */
export async function openForChange(tx: Transaction, id: number, ifVersion: number | undefined): Promise<Environment> {
  const before = await store.lockEnvironment(tx, id)
  if (before === null) throw new SlipwayError('not_found', 'The environment was just removed.')
  if (before.state === 'removing') {
    throw new SlipwayError('conflict', `${before.name} of ${before.app} is being removed.`)
  }
  if (ifVersion !== undefined && ifVersion !== before.version) throw changedMeanwhile(before, ifVersion)
  return before
}

function changedMeanwhile({ name, app, version }: Environment, seen: number): SlipwayError {
  return new SlipwayError(
    'conflict',
    `${name} of ${app} was changed meanwhile: it is version ${version} now, not ${seen}. Nothing was changed by this.`,
    { hint: `Look at it, and then change it: slipway envs list --json -a ${app}` },
  )
}

/** How what is changed was before. */
function pickBefore(before: Environment, change: EnvironmentChange): EnvironmentChange {
  const { branch, deployOnPush, allowForcedPush, supersede, held } = before
  const all = { branch, deployOnPush, allowForcedPush, supersede, held }
  return Object.fromEntries(Object.entries(all).filter(([key]) => change[key as keyof EnvironmentChange] !== undefined))
}
