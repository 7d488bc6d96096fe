import { assertMay, type Principal } from '../accounts/index.ts'
import type { App, Environments } from '../environments/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import { parseAppName } from '../kernel/names.ts'
import type { HookPipes } from './git-child.ts'
import type { Repositories } from './repositories.ts'

/** One push on its way: between the transport that has the client and the hook that has the objects. */
export interface OpenPush {
  readonly app: string
  readonly principal: Principal
  /** The repository's folder. */
  readonly path: string
  /** Fires when nobody reads the answer any more. What has begun goes on. */
  readonly clientGone: AbortSignal
  /** True once the hook handed the push over: from here on the client's going ends nothing. */
  readonly taken: boolean
  /** Fires once when it is handed over. */
  readonly onTaken: Promise<void>
  /** Called by the transport when it has started git: answers the hook that git will run. */
  meetHook(pipes: HookPipes): void
  /** Called when the hook has said what is pushed. */
  take(): void
  /** Called by the transport when git has ended; safe to repeat. */
  close(): Promise<void>
}

export interface OpenPushes {
  /** Checks the right to push and makes the repository ready. */
  open(principal: Principal, app: string, clientGone: AbortSignal): Promise<OpenPush>
  /** Called when the decision about a taken push has been carried out. */
  settle(push: OpenPush): Promise<void>
  /**
   * Does something to a repository while nobody pushes to it. A push that comes ends it by the signal, and waits for that.
   * False when it was not begun, because somebody pushes.
   */
  whileIdle(app: string, work: (signal: AbortSignal) => Promise<void>): Promise<boolean>
}

export function makeOpenPushes(deps: {
  environments: Environments
  repositories: Repositories
  meetHook: (push: OpenPush, pipes: HookPipes) => void
  logger: Logger
}): OpenPushes {
  const users = makeRepositoryUsers(deps)

  return {
    async open(principal, name, clientGone) {
      const app = parseAppName(name)
      assertMay(principal, 'git.push', app)
      const there = await deps.environments.findApp(app)
      if (there === null) assertMay(principal, 'apps.create', app)
      else assertStays(there)
      await users.enter(app)
      let taken = false
      let handOver = (): void => undefined
      const onTaken = new Promise<void>((resolve) => {
        handOver = resolve
      })
      let closed = false
      const push: OpenPush = {
        app,
        principal,
        path: deps.repositories.pathOf(app),
        clientGone,
        onTaken,
        get taken() {
          return taken
        },
        meetHook: (pipes) => deps.meetHook(push, pipes),
        take() {
          taken = true
          users.join(app)
          handOver()
        },
        async close() {
          if (closed) return
          closed = true
          await users.leave(app)
        },
      }
      return push
    },
    settle: (push) => users.leave(push.app),
    whileIdle: (app, work) => users.whileIdle(app, work),
  }
}

/** Throws `conflict` for an app that is being removed: what is pushed to it would be lost. */
export function assertStays({ name, isRemoving }: App): void {
  if (!isRemoving) return
  throw new SlipwayError('conflict', `The app ${name} is being removed.`, {
    hint: 'When it is gone, a push makes a new app of this name.',
  })
}

/**
 * Who uses which repository. A push to an app that does not exist needs a repository before it is known whether anything in
 * it may stay; when the last push leaves and no app was made, the empty repository goes.
 */
function makeRepositoryUsers(deps: { environments: Environments; repositories: Repositories; logger: Logger }): {
  enter(app: string): Promise<void>
  join(app: string): void
  leave(app: string): Promise<void>
  whileIdle(app: string, work: (signal: AbortSignal) => Promise<void>): Promise<boolean>
} {
  const counts = new Map<string, number>()
  const idle = new Map<string, { stop: AbortController; done: Promise<void> }>()
  const lines = new Map<string, Promise<void>>()
  // One after the other for each app: nobody enters while the folder is being removed.
  const inLine = (app: string, work: () => Promise<void>): Promise<void> => {
    const done = (lines.get(app) ?? Promise.resolve()).then(work, work)
    const settled = done.catch(() => undefined)
    lines.set(app, settled)
    void settled.then(() => {
      if (lines.get(app) === settled) lines.delete(app)
    })
    return done
  }
  const add = (app: string, by: number): number => {
    const count = (counts.get(app) ?? 0) + by
    if (count === 0) counts.delete(app)
    else counts.set(app, count)
    return count
  }
  return {
    enter: (app) =>
      inLine(app, async () => {
        add(app, 1)
        try {
          idle.get(app)?.stop.abort(pushCame)
          await idle.get(app)?.done
          await deps.repositories.ensure(app)
        } catch (error) {
          add(app, -1)
          throw error
        }
      }),
    join: (app) => void add(app, 1),
    leave: (app) =>
      inLine(app, async () => {
        if (add(app, -1) > 0) return
        try {
          if ((await deps.environments.findApp(app)) === null) await deps.repositories.removeIfEmpty(app)
        } catch (error) {
          deps.logger.warn('an unused repository could not be removed', { app, error })
        }
      }),
    async whileIdle(app, work) {
      if (counts.has(app) || idle.has(app)) return false
      const stop = new AbortController()
      const working = work(stop.signal)
      const done = working.then(
        () => undefined,
        () => undefined,
      )
      idle.set(app, { stop, done })
      await working.finally(() => idle.delete(app))
      return true
    },
  }
}

const pushCame = new SlipwayError('cancelled', 'Somebody pushes.')
