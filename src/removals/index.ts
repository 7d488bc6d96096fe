import type { Environments } from '../environments/index.ts'
import { makeBackground } from '../kernel/background.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import { mayBeRemoved } from './may-be-removed.ts'
import { removeApp, removeEnvironment, type RemovalNeeds } from './remove.ts'
import * as store from './store.ts'

/** Removes environments and apps, with all that they have, in the background; a restart goes on with what was begun. */
export interface Removals {
  /**
   * From now on nothing new begins in it. A deploy that runs is waited for, or with `cancel` asked to end. Safe to repeat.
   * `conflict` for one that stays as long as its app.
   */
  beginEnvironment(app: string, name: string, options: RemovalOptions): Promise<Begun>
  /** The same for an app with all its environments. */
  beginApp(app: string, options: RemovalOptions): Promise<Begun>
  /** Goes on with what an earlier life of the server had begun. */
  start(): Promise<void>
  /** Lets go of what goes on. */
  stop(): Promise<void>
}

export interface RemovalOptions {
  readonly by: string
  /** Deploys that run are asked to end. */
  readonly cancel: boolean
}

export interface Begun {
  /** Deploys that still run: they end first. */
  readonly waitsFor: readonly number[]
}

/** How long it waits after a failure: what is away comes back, and nobody else would do it. */
const retryMs = { first: 1_000, longest: 60_000 }
const stopGraceMs = 3_000

export function makeRemovals(needs: RemovalNeeds & { environments: Environments }): Removals {
  const { db, deploys, environments, clock, logger } = needs
  const stop = new AbortController()
  const { signal } = stop
  const background = makeBackground({ logger, signal })
  const going = new Set<string>()

  const goOn = (key: string, about: object, work: () => Promise<void>): void => {
    if (signal.aborted || going.has(key)) return
    going.add(key)
    const done = persistently(work, about).finally(() => going.delete(key))
    background.run('a removal broke off', done)
  }
  const persistently = async (work: () => Promise<void>, about: object): Promise<void> => {
    for (let waitMs = retryMs.first; ; waitMs = Math.min(waitMs * 2, retryMs.longest)) {
      try {
        return await work()
      } catch (error) {
        signal.throwIfAborted()
        logger.warn('a removal is tried again', { ...about, error })
        await clock.sleep(waitMs, signal)
      }
    }
  }
  const goOnWithEnvironment = (environment: store.GoingEnvironment): void =>
    goOn(`e${environment.id}`, { label: environment.label }, () => removeEnvironment(needs, environment, signal))
  const goOnWithApp = (app: store.GoingApp): void =>
    goOn(`a${app.id}`, { app: app.name }, () => removeApp(needs, app, signal))

  return {
    async beginEnvironment(app, name, { by, cancel }) {
      const { id } = await environments.get(app, name)
      const { environment, running } = await db.transaction(async (tx) => {
        const found = await store.lockEnvironment(tx, id)
        if (found === null) throw new SlipwayError('not_found', `The environment ${name} of ${app} was just removed.`)
        if (!mayBeRemoved(found)) throw staysError(found)
        if (found.state !== 'removing') {
          await store.markEnvironment(tx, id, by)
          const event = { kind: 'environment.removing', appId: found.appId, environmentId: id }
          await appendEvent(tx, { ...event, by, data: { environment: name } })
        }
        const environment = { ...found, removedBy: found.removedBy ?? by }
        return { environment, running: await deploys.closeLine(tx, { environmentId: id, by, cancel }) }
      })
      deploys.wake()
      goOnWithEnvironment(environment)
      return { waitsFor: running === null ? [] : [running] }
    },
    async beginApp(name, { by, cancel }) {
      const { id } = await environments.getApp(name)
      const waitsFor = await db.transaction(async (tx) => {
        if (await store.markApp(tx, id, by)) {
          await appendEvent(tx, { kind: 'app.removing', appId: id, by, data: { app: name } })
        }
        const running: number[] = []
        for (const environment of await store.lockEnvironmentsOf(tx, id)) {
          await store.markEnvironment(tx, environment.id, by)
          const one = await deploys.closeLine(tx, { environmentId: environment.id, by, cancel })
          if (one !== null) running.push(one)
        }
        return running
      })
      deploys.wake()
      goOnWithApp({ id, name, removedBy: by })
      return { waitsFor }
    },
    async start() {
      for (const app of await store.listGoingApps(db)) goOnWithApp(app)
      for (const environment of await store.listGoingEnvironments(db)) goOnWithEnvironment(environment)
    },
    async stop() {
      stop.abort()
      await Promise.race([background.settled(), clock.sleep(stopGraceMs)])
    },
  }
}

function staysError({ app, name, live }: store.GoingEnvironment): SlipwayError {
  const why = live ? `${name} is the live environment of ${app}` : `${app} starts with its environment ${name}`
  return new SlipwayError('conflict', `${why}: it stays as long as the app does.`, {
    hint: `To let nothing run there: slipway envs stop ${name} -a ${app}. To remove the whole app: slipway apps remove ${app}`,
  })
}
