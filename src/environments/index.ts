import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import { parseAppName, parseBranchName, quote } from '../kernel/names.ts'
import type { Queryable, Transaction } from '../postgres/database.ts'
import { addEnvironment, type NewEnvironment, type Parts, parseFirst, reservedLabel } from './add.ts'
import { type ChangeOptions, changeEnvironment } from './change.ts'
import {
  type App,
  byOf,
  type Environment,
  type EnvironmentChange,
  environmentsFor,
  type FirstEnvironment,
  firstEnvironments,
  labelOf,
} from './environment.ts'
import * as store from './store.ts'

export type { NewEnvironment } from './add.ts'
export { type ChangeOptions, openForChange } from './change.ts'
export type {
  App,
  Environment,
  EnvironmentChange,
  EnvironmentLock,
  EnvironmentState,
  Supersede,
} from './environment.ts'
export { clearLock, describeLock, type LockWish, setLock } from './lock.ts'
export { lockColumns, type LockRow, toLock } from './lock-store.ts'
export { firstEnvironments } from './environment.ts'

/** Apps and their environments. `by` is who asked. */
export interface Environments {
  listApps(): Promise<App[]>
  findApp(name: string): Promise<App | null>
  getApp(name: string): Promise<App>
  /** Makes the app with `test` and `live`, or with the environments named; `conflict` when the name is taken. */
  createApp(name: string, options?: { by?: string; environments?: readonly string[] }): Promise<App>
  /** The app, made when it is not there. Two at once make one. */
  ensureApp(name: string, by?: string): Promise<{ app: App; created: boolean }>
  /** Environments of an app, those that are not live first. */
  list(app: string, q?: Queryable): Promise<Environment[]>
  /** Until the transaction ends nobody changes them, or puts anything into their lines. */
  hold(tx: Transaction, app: App): Promise<void>
  get(app: string, name: string): Promise<Environment>
  /** Adds one from scratch, or like another one: its branch and settings. `conflict` when the name is taken. */
  add(app: string, wanted: NewEnvironment): Promise<Environment>
  /**
   * Giving an environment a branch of its own turns deploy-on-push on, unless the same change says otherwise. `conflict` when
   * it is not the version that whoever changes it had seen, and then nothing is changed.
   */
  change(app: string, name: string, change: EnvironmentChange, options?: ChangeOptions): Promise<Environment>
  /** Branches arrived: chooses the default branch as `chooseDefaultBranch` says. Returns the one in force. */
  noteArrivedBranches(tx: Transaction, app: App, arrived: readonly string[]): Promise<string | null>
  /** A person chooses the default branch; arriving branches do not change it any more. */
  readonly pinDefaultBranch: (app: string, branch: string, by?: string) => Promise<void>
}

export function makeEnvironments(parts: Partial<Parts> & Pick<Parts, 'db'>): Environments {
  const { db, isReserved = () => false } = parts
  const { copyVariables = async () => undefined, copyProtection = async () => undefined } = parts

  const getApp = async (name: string): Promise<App> => {
    const app = await store.findApp(db, name)
    if (app === null) {
      throw new SlipwayError('not_found', `There is no app ${quote(name)}.`, {
        hint: 'A first push makes it, or slipway apps create NAME. See all with: slipway apps list',
      })
    }
    return app
  }

  const get = async (appName: string, name: string): Promise<Environment> => {
    const found = await store.findEnvironment(db, appName, name)
    if (found !== null) return found
    await getApp(appName)
    const names = (await store.listEnvironments(db, appName)).map((e) => e.name).join(', ')
    throw new SlipwayError('not_found', `The app ${appName} has no environment ${quote(name)}.`, {
      hint: `It has: ${names}`,
    })
  }

  const ensureApp = (
    name: string,
    by?: string,
    first: readonly FirstEnvironment[] = firstEnvironments,
  ): Promise<{ app: App; created: boolean }> =>
    db.transaction(async (tx) => {
      const made = await store.insertApp(tx, parseAppName(name))
      if (made === null) {
        const there = await store.findApp(tx, name)
        if (there === null) throw new SlipwayError('conflict', `The app ${quote(name)} was just removed.`)
        return { app: there, created: false }
      }
      for (const one of first) {
        const label = labelOf(name, one)
        if (isReserved(label)) throw reservedLabel(name, one)
        await store.insertEnvironment(tx, { appId: made.id, label, ...one })
      }
      const environments = first.map((one) => one.name)
      await appendEvent(tx, { kind: 'app.created', appId: made.id, ...byOf(by), data: { app: name, environments } })
      return { app: made, created: true }
    })

  return {
    listApps: () => store.listApps(db),
    findApp: (name) => store.findApp(db, name),
    getApp,
    ensureApp: (name, by) => ensureApp(name, by),
    get,
    async createApp(name, { by, environments } = {}) {
      const first = environments === undefined ? firstEnvironments : environmentsFor(parseFirst(environments))
      const { app, created } = await ensureApp(name, by, first)
      if (created) return app
      throw new SlipwayError(
        'conflict',
        `There is an app ${name} already${app.isRemoving ? '; it is being removed' : ''}.`,
        {
          hint: app.isRemoving ? 'Wait until it is gone: slipway apps list' : 'Choose another name.',
        },
      )
    },
    list: (app, q = db) => store.listEnvironments(q, app),
    hold: (tx, { id }) => store.lockEnvironments(tx, id),
    async add(app, wanted) {
      await addEnvironment({ db, isReserved, copyVariables, copyProtection }, await getApp(app), wanted)
      return get(app, wanted.name)
    },
    async change(app, name, change, options = {}) {
      const { id } = await get(app, name)
      await db.transaction((tx) => changeEnvironment(tx, id, change, options))
      return get(app, name)
    },
    async noteArrivedBranches(tx, app, arrived) {
      const chosen = chooseDefaultBranch(app.defaultBranch, arrived)
      if (chosen !== null && chosen !== app.defaultBranch) await store.setDefaultBranch(tx, app.id, chosen)
      return (await store.findApp(tx, app.name))?.defaultBranch ?? null
    },
    async pinDefaultBranch(name, given, by) {
      const app = await getApp(name)
      const branch = parseBranchName(given)
      await db.transaction(async (tx) => {
        await store.pinDefaultBranch(tx, app.id, branch)
        const data = { change: { defaultBranch: branch }, before: { defaultBranch: app.defaultBranch } }
        await appendEvent(tx, { kind: 'app.changed', appId: app.id, ...byOf(by), data })
      })
    },
  }
}

const usualDefaults = ['main', 'master', 'develop']

/**
 * `main`, `master` or `develop` when one arrives (in this order within one push; the first to come stays), else the branch
 * that was pushed first. A usual name that arrives later takes over from an unusual one.
 */
export function chooseDefaultBranch(current: string | null, arrived: readonly string[]): string | null {
  if (current !== null && usualDefaults.includes(current)) return current
  return usualDefaults.find((name) => arrived.includes(name)) ?? current ?? arrived[0] ?? null
}
