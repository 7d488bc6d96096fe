import type { Environment } from '../environments/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import { quote } from '../kernel/names.ts'
import type { Secret } from '../kernel/secret.ts'
import type { Database, Transaction } from '../postgres/database.ts'
import { type Limits, parseLimits } from '../routing/index.ts'
import {
  checkPassword,
  mostRanges,
  mostUsers,
  parseRanges,
  parseUserName,
  type Protection,
  type ProtectionChange,
} from './protection.ts'
import { makeApplyRecorded } from './apply-recorded.ts'
import * as store from './store.ts'

export type { Protection, ProtectionChange } from './protection.ts'
export { copyProtection } from './store.ts'
export { makeMaintenance, type MaintenanceMode } from './maintenance.ts'

/** Who may ask for the sites of environments, and how much. */
export interface Protections {
  get(environmentId: number): Promise<Protection>
  /**
   * Changes what is named, all or nothing, and resolves when the proxy holds it. `unavailable`: it is recorded, and the proxy gets it as
   * soon as it answers.
   */
  change(environment: Environment, change: ProtectionChange): Promise<Protection>
  /** Who may see the addresses of the live environment's releases. */
  setReleaseAddresses(live: Environment, value: store.ReleaseAddresses): Promise<void>
}

export interface ProtectionParts {
  readonly db: Database
  /** What the proxy makes of the credentials that a browser sends. */
  readonly hash: (credentials: { user: string; password: Secret }) => Promise<string>
  /** Makes the proxy hold what the database says of an environment. */
  readonly apply: (environmentId: number) => Promise<void>
}

export function makeProtections({ db, hash, apply }: ProtectionParts): Protections {
  const applyRecorded = makeApplyRecorded(apply)

  return {
    get: (environmentId) => store.readProtection(db, environmentId),
    async change(environment, change) {
      const { setUser, allow = [], disallow = [] } = change
      const user = setUser === undefined ? null : { ...setUser, name: parseUserName(setUser.name) }
      const hashed =
        user === null
          ? null
          : { name: user.name, hash: await hash({ user: user.name, password: checkPassword(user.password) }) }
      const ranges = { allow: parseRanges(allow), disallow: parseRanges(disallow) }
      const after = await db.transaction((tx) => record(tx, environment, { ...change, hashed, ranges }))
      await applyRecorded(environment.id)
      return after
    },
    async setReleaseAddresses(live, value) {
      await db.transaction(async (tx) => {
        const before = await store.setReleaseAddresses(tx, live.appId, value)
        if (before === null || before === value) return
        const data = { change: { releaseAddresses: value }, before: { releaseAddresses: before } }
        await appendEvent(tx, { kind: 'app.changed', appId: live.appId, data })
      })
      await applyRecorded(live.id)
    },
  }
}

interface Recorded extends ProtectionChange {
  readonly hashed: { readonly name: string; readonly hash: string } | null
  readonly ranges: { readonly allow: readonly string[]; readonly disallow: readonly string[] }
}

async function record(tx: Transaction, environment: Environment, change: Recorded): Promise<Protection> {
  const { id, name, app, appId } = environment
  if (!(await store.lockEnvironment(tx, id))) throw new SlipwayError('conflict', `${name} of ${app} is being removed.`)
  const before = await store.readProtection(tx, id)
  if (change.open === true) await store.removeAll(tx, id)
  if (change.hashed !== null) await store.setPassword(tx, id, change.hashed)
  if (change.removeUser !== undefined && !(await store.removeUser(tx, id, change.removeUser))) {
    throw noSuchUser(environment, change.removeUser, before)
  }
  await store.addRanges(tx, id, change.ranges.allow)
  await removeRanges(tx, environment, change.ranges.disallow)
  const limits: Limits = parseLimits({ ...before.limits, ...change.limits })
  if (change.onlyReleases !== undefined || change.limits !== undefined) {
    const { onlyReleases } = await store.readProtection(tx, id)
    await store.setRules(tx, id, { onlyReleases: change.onlyReleases ?? onlyReleases, limits })
  }
  const after = await store.readProtection(tx, id)
  checkCounts(after)
  const data = { ...summarize(change), users: after.users.length, ranges: after.ranges.length }
  await appendEvent(tx, { kind: 'protection.changed', appId, environmentId: id, data })
  return after
}

async function removeRanges(tx: Transaction, { id, name }: Environment, ranges: readonly string[]): Promise<void> {
  if (ranges.length === 0) return
  const gone = await store.removeRanges(tx, id, ranges)
  const missing = ranges.filter((range) => !gone.includes(range))
  if (missing.length === 0) return
  throw new SlipwayError('not_found', `${name} does not let in ${missing.join(', ')}.`, {
    hint: `See what it does: slipway protect ${name} --list`,
  })
}

function noSuchUser({ name }: Environment, user: string, { users }: Protection): SlipwayError {
  const names = users.map((one) => one.name).join(', ')
  return new SlipwayError('not_found', `${name} has no user ${quote(user)}.`, {
    hint: names === '' ? 'It has none.' : `It has: ${names}`,
  })
}

function checkCounts({ users, ranges }: Protection): void {
  if (users.length > mostUsers) {
    throw new SlipwayError('bad_request', `An environment has at most ${mostUsers} users.`)
  }
  if (ranges.length > mostRanges) {
    throw new SlipwayError('bad_request', `An environment lets in at most ${mostRanges} ranges of addresses.`)
  }
}

/** For the activity: names, never passwords. */
function summarize({ hashed, removeUser, ranges, onlyReleases, open, limits }: Recorded): Record<string, unknown> {
  return {
    ...(open === true ? { opened: true } : {}),
    ...(hashed === null ? {} : { setUser: hashed.name }),
    ...(removeUser === undefined ? {} : { removeUser }),
    ...(ranges.allow.length === 0 ? {} : { allow: ranges.allow }),
    ...(ranges.disallow.length === 0 ? {} : { disallow: ranges.disallow }),
    ...(onlyReleases === undefined ? {} : { onlyReleases }),
    ...(limits === undefined ? {} : { limits }),
  }
}
