import { SlipwayError } from '../kernel/errors.ts'
import { parseAppName, parseBranchName, quote } from '../kernel/names.ts'
import type { Database, Queryable, Transaction } from '../postgres/database.ts'
import { type App, type Environment, type EnvironmentChange, firstEnvironments, labelOf } from './environment.ts'
import * as store from './store.ts'

export type { App, Environment, EnvironmentChange, Supersede } from './environment.ts'
export { firstEnvironments } from './environment.ts'

/** Apps and their environments. */
export interface Environments {
  listApps(): Promise<App[]>
  findApp(name: string): Promise<App | null>
  getApp(name: string): Promise<App>
  /** Makes the app with `test` and `live`; `conflict` when the name is taken. */
  createApp(name: string): Promise<App>
  /** The app, made when it is not there. Two at once make one. */
  ensureApp(name: string): Promise<{ app: App; created: boolean }>
  /** Environments of an app, those that are not live first. */
  list(app: string, q?: Queryable): Promise<Environment[]>
  get(app: string, name: string): Promise<Environment>
  /** Giving an environment a branch of its own turns deploy-on-push on, unless the same change says otherwise. */
  change(app: string, name: string, change: EnvironmentChange): Promise<Environment>
  /** Branches arrived: chooses the default branch as `chooseDefaultBranch` says. Returns the one in force. */
  noteArrivedBranches(tx: Transaction, app: App, arrived: readonly string[]): Promise<string | null>
  /** A person chooses the default branch; arriving branches do not change it any more. */
  readonly pinDefaultBranch: (app: string, branch: string) => Promise<void>
}

export function makeEnvironments(parts: {
  db: Database
  /** Whether a label's address is one that Slipway needs itself. */
  isReserved?: (label: string) => boolean
}): Environments {
  const { db, isReserved = () => false } = parts

  const getApp = async (name: string): Promise<App> => {
    const app = await store.findApp(db, name)
    if (app === null) {
      throw new SlipwayError('not_found', `There is no app ${quote(name)}.`, {
        hint: 'See all with: slipway apps list',
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

  const ensureApp = (name: string): Promise<{ app: App; created: boolean }> =>
    db.transaction(async (tx) => {
      const made = await store.insertApp(tx, parseAppName(name))
      if (made === null) {
        const there = await store.findApp(tx, name)
        if (there === null) throw new SlipwayError('conflict', `The app ${quote(name)} was just removed.`)
        return { app: there, created: false }
      }
      for (const first of firstEnvironments) {
        const label = labelOf(name, first)
        if (isReserved(label)) {
          throw new SlipwayError('conflict', `An app called ${name} would be at Slipway’s own address.`, {
            hint: 'Choose another name.',
          })
        }
        await store.insertEnvironment(tx, { appId: made.id, label, ...first })
      }
      return { app: made, created: true }
    })

  return {
    listApps: () => store.listApps(db),
    findApp: (name) => store.findApp(db, name),
    getApp,
    ensureApp,
    get,
    async createApp(name) {
      const { app, created } = await ensureApp(name)
      if (!created)
        throw new SlipwayError('conflict', `There is an app ${name} already.`, { hint: 'Choose another name.' })
      return app
    },
    list: (app, q = db) => store.listEnvironments(q, app),
    async change(app, name, change) {
      const environment = await get(app, name)
      const branch = typeof change.branch === 'string' ? parseBranchName(change.branch) : change.branch
      const turnsOn = typeof branch === 'string' && change.deployOnPush === undefined
      await store.updateEnvironment(db, environment.id, {
        ...change,
        ...(branch === undefined ? {} : { branch }),
        ...(turnsOn ? { deployOnPush: true } : {}),
      })
      return get(app, name)
    },
    async noteArrivedBranches(tx, app, arrived) {
      const chosen = chooseDefaultBranch(app.defaultBranch, arrived)
      if (chosen !== null && chosen !== app.defaultBranch) await store.setDefaultBranch(tx, app.id, chosen)
      return (await store.findApp(tx, app.name))?.defaultBranch ?? null
    },
    async pinDefaultBranch(app, branch) {
      await store.pinDefaultBranch(db, (await getApp(app)).id, parseBranchName(branch))
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
