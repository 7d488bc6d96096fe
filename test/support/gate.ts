import type { Tools } from '../../src/deploys/index.ts'
import type { Transaction } from '../../src/postgres/database.ts'

export interface GateOptions {
  /** At which call to database, engine or proxy it happens, counted from 1. */
  readonly at: number
  /** Whether that call takes effect. */
  readonly when: 'before' | 'after'
  /** What the call, and with `for ever` every later one, ends with; null: it never ends, as for a process that was killed. */
  readonly fails: (() => Error) | null
  readonly forEver: boolean
}

/** Between the deploys of one life of a server and all that they work with. */
export interface Gate {
  wrap(tools: Tools): Tools
  /** How many calls there were. */
  count(): number
  /** Whether it happened. */
  hit(): boolean
  /** Ends what hangs, so that nothing keeps the test alive. */
  open(): void
}

class CutOff extends Error {}

export function makeGate(options: GateOptions): Gate {
  let calls = 0
  let hit = false
  const hanging = new Set<(error: Error) => void>()
  const hang = (): Promise<never> => new Promise((_, reject) => hanging.add(reject))

  const fail = (): Promise<never> => {
    if (options.fails !== null) return Promise.reject(options.fails())
    return Promise.reject(new CutOff('cut off'))
  }
  const isCut = (): boolean => hit && options.forEver

  /** Rejects where the call must not go on. */
  async function pass<T>(call: () => Promise<T>): Promise<T> {
    if (isCut()) return fail()
    calls += 1
    const mine = calls === options.at
    if (mine) hit = true
    if (mine && options.when === 'before') return fail()
    const result = await call()
    return mine || isCut() ? fail() : result
  }

  /** The same for whoever called: a killed process never hears. */
  async function outside<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await pass(call)
    } catch (error) {
      if (error instanceof CutOff || (isCut() && options.fails === null)) return hang()
      throw error
    }
  }

  const wrapAll = <T extends object>(target: T, direct: readonly string[]): T =>
    new Proxy(target, {
      get(object, name, receiver) {
        const value: unknown = Reflect.get(object, name, receiver)
        if (typeof value !== 'function' || direct.includes(String(name))) return value
        return (...args: unknown[]) => outside(() => Reflect.apply(value, object, args) as Promise<unknown>)
      },
    })

  return {
    count: () => calls,
    hit: () => hit,
    open() {
      for (const reject of hanging) reject(new CutOff('the test is over'))
    },
    wrap: (tools) => ({
      ...tools,
      runtime: wrapAll(tools.runtime, ['watch', 'readLog']),
      router: wrapAll(tools.router, []),
      db: {
        query: (sql, values) => outside(() => tools.db.query(sql, values)),
        // What is cut off inside a transaction is rolled back, as the database does when a connection ends.
        transaction: (work) =>
          outside(() =>
            tools.db.transaction((tx) => {
              const inside: Transaction = {
                inTransaction: true,
                query: (sql, values) => pass(() => tx.query(sql, values)),
              }
              return work(inside)
            }),
          ),
      },
    }),
  }
}
