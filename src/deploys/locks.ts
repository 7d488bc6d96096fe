import {
  type ChangeOptions,
  clearLock,
  type Environment,
  type EnvironmentLock,
  type LockWish,
  setLock,
} from '../environments/index.ts'
import { parseSentence } from '../kernel/sentence.ts'
import type { Database, Transaction } from '../postgres/database.ts'
import type { Deploys } from './deploys.ts'
import type { InLine } from './line.ts'
import { listLine } from './line-store.ts'

const longestReason = 300

/** Holding an environment's deploys back, and letting them go on. */
export interface Locks {
  /**
   * From now on no deploy begins there that brings anything new; one that runs goes on. `bad_request` for a reason that is no line of
   * text, `conflict` when it is locked already or is not the version that was seen.
   */
  lock(environment: Environment, wish: LockWish, options: ChangeOptions & { readonly by: string }): Promise<Held>
  /** What waits begins. Returns the lock that was; null when there was none. */
  unlock(
    environment: Environment,
    options: ChangeOptions & { readonly by: string },
  ): Promise<Held & { readonly lock: EnvironmentLock | null }>
}

/** What stands in the line at that moment. */
export interface Held {
  /** It goes on. */
  readonly running: number | null
  /** What waits for the unlock; of an unlocked one: for what comes before it. */
  readonly waiting: readonly number[]
}

interface Needs {
  readonly db: Database
  readonly deploys: Pick<Deploys, 'tellPlaces' | 'wake'>
  /** Takes secrets of the environment out of what everybody is told. */
  readonly mask: (environmentId: number, text: string) => Promise<string>
}

export function makeLocks({ db, deploys, mask }: Needs): Locks {
  const readLine = async (tx: Transaction, environmentId: number): Promise<InLine[]> => {
    await deploys.tellPlaces(tx, environmentId)
    return listLine(tx, environmentId)
  }
  return {
    async lock({ id }, wish, options) {
      const reason = await mask(id, parseSentence(wish.reason, { what: 'reason', longest: longestReason }))
      const held = await db.transaction(async (tx) => {
        await setLock(tx, id, { ...wish, reason }, options)
        const line = await readLine(tx, id)
        return { running: findRunning(line), waiting: line.filter(({ isHeld }) => isHeld).map(idOf) }
      })
      deploys.wake()
      return held
    },
    async unlock({ id }, options) {
      const unlocked = await db.transaction(async (tx) => {
        const lock = await clearLock(tx, id, options)
        const line = await readLine(tx, id)
        return { lock, running: findRunning(line), waiting: line.filter(({ state }) => state === 'waiting').map(idOf) }
      })
      deploys.wake()
      return unlocked
    },
  }
}

const idOf = ({ id }: InLine): number => id
const findRunning = (line: readonly InLine[]): number | null =>
  line.find(({ state }) => state === 'running')?.id ?? null
