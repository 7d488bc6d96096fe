import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import { parseBranchName, parseEnvironmentName, quote } from '../kernel/names.ts'
import type { Database, Transaction } from '../postgres/database.ts'
import { type App, byOf, type Environment, labelOf } from './environment.ts'
import * as store from './store.ts'

export interface NewEnvironment {
  readonly name: string
  /** null: follows the app's default branch; left out: as `from`, else the default branch. */
  readonly branch?: string | null
  /** Another environment of the app, which it is to be like. */
  readonly from?: string
  readonly deployOnPush?: boolean
  readonly by?: string
}

export interface Parts {
  readonly db: Database
  /** Whether a label's address is one that Slipway needs itself. */
  readonly isReserved: (label: string) => boolean
  /** Gives a new environment the variables of the one that it is based on. */
  readonly copyVariables: (tx: Transaction, which: { from: number; to: number }) => Promise<void>
  /** Who may see the one may see the other. */
  readonly copyProtection: (tx: Transaction, which: { from: number; to: number }) => Promise<void>
}

const mostFirst = 10

/** The names of what an app is to start with. */
export function parseFirst(names: readonly string[]): readonly string[] {
  const parsed = names.map(parseEnvironmentName)
  const twice = parsed.find((name, at) => parsed.indexOf(name) !== at)
  if (twice !== undefined) throw new SlipwayError('bad_request', `The environment ${twice} is named twice.`)
  if (parsed.length >= 1 && parsed.length <= mostFirst) return parsed
  throw new SlipwayError('bad_request', `An app starts with 1 to ${mostFirst} environments, not ${parsed.length}.`, {
    hint: 'The last is the live one. Example: development,staging,production',
  })
}

export function reservedLabel(app: string, { name, live }: { name: string; live: boolean }): SlipwayError {
  const what = live ? `An app called ${app}` : `The environment ${name} of ${app}`
  return new SlipwayError('conflict', `${what} would be at Slipway’s own address.`, { hint: 'Choose another name.' })
}

export async function addEnvironment(
  { db, isReserved, copyVariables, copyProtection }: Parts,
  app: App,
  { from, by, ...wanted }: NewEnvironment,
): Promise<void> {
  const name = parseEnvironmentName(wanted.name)
  const label = labelOf(app.name, { name, live: false })
  if (isReserved(label)) throw reservedLabel(app.name, { name, live: false })
  const branch = typeof wanted.branch === 'string' ? parseBranchName(wanted.branch) : wanted.branch
  await db.transaction(async (tx) => {
    // Held until the end: an app that is being removed gets nothing new.
    if (!(await store.lockApp(tx, app.id))) {
      throw new SlipwayError('conflict', `The app ${app.name} is being removed.`)
    }
    const model = from === undefined ? null : await findModel(tx, app.name, from)
    const ownBranch = branch === undefined ? (model?.branch ?? null) : branch
    // A branch that was asked for is there to be deployed.
    const deployOnPush = wanted.deployOnPush ?? (typeof branch === 'string' ? true : (model?.deployOnPush ?? true))
    const id = await store.insertEnvironment(tx, {
      ...{ appId: app.id, name, label, live: false, branch: ownBranch, deployOnPush },
      allowForcedPush: model?.allowForcedPush ?? true,
      supersede: model?.supersede ?? 'waiting',
    })
    if (id === null) throw await takenName(tx, app.name, name)
    if (model !== null) {
      await copyVariables(tx, { from: model.id, to: id })
      await copyProtection(tx, { from: model.id, to: id })
    }
    const data = { environment: name, branch: ownBranch, deployOnPush, ...(from === undefined ? {} : { from }) }
    await appendEvent(tx, { kind: 'environment.added', appId: app.id, environmentId: id, ...byOf(by), data })
  })
}

async function findModel(tx: Transaction, app: string, from: string): Promise<Environment> {
  const model = await store.findEnvironment(tx, app, from)
  if (model !== null && model.state !== 'removing') return model
  const names = (await store.listEnvironments(tx, app)).map((e) => e.name).join(', ')
  throw new SlipwayError('not_found', `The app ${app} has no environment ${quote(from)} to start from.`, {
    hint: `It has: ${names}`,
  })
}

async function takenName(tx: Transaction, app: string, name: string): Promise<SlipwayError> {
  const there = await store.findEnvironment(tx, app, name)
  const isGoing = there?.state === 'removing'
  return new SlipwayError(
    'conflict',
    `${app} has an environment ${name} already${isGoing ? '; it is being removed' : ''}.`,
    {
      hint: isGoing ? `Wait until it is gone: slipway envs list -a ${app}` : 'Choose another name.',
    },
  )
}
