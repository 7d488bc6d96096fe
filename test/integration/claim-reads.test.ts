import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { claimNextDeploy } from '../../src/deploys/line-store.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makePool, type Pool, type Transaction } from '../../src/postgres/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

/*
 * The claim is asked whenever anything happens to any deploy. How many rows it reads is what the planner itself counts.
 */

const environments = 10_000

let database: TestDatabase
let pool: Pool
beforeAll(async () => {
  database = await createTestDatabase()
  pool = makePool(database.connection, { logger: silentLogger, size: 2 })
  for (const sql of fill) await pool.query(sql)
})
afterAll(async () => {
  await pool.close()
  await database.drop()
})

const insertWaiting = (kind: string): string =>
  `insert into deploys (environment_id, kind, commit, requested_by, state) select id, '${kind}', 'c', 'ada', 'waiting' from environments`
const fill = [
  `insert into apps (name) select 'app' || n from generate_series(1, ${environments / 2}) n`,
  `insert into environments (app_id, name, label, live, deploy_on_push, allow_forced_push)
   select a.id, v.name, v.name || '--' || a.name, v.name = 'live', true, true from apps a, (values ('test'), ('live')) as v (name)`,
  `insert into deploys (environment_id, kind, commit, requested_by, state, finished_at)
   select id, 'push', 'c', 'ada', 'live', now() from environments, generate_series(1, 5)`,
  'vacuum analyze',
]

interface Node {
  readonly 'Actual Rows': number
  readonly 'Actual Loops': number
  readonly 'Rows Removed by Filter'?: number
  readonly 'Rows Removed by Join Filter'?: number
  readonly 'Relation Name'?: string
  readonly Plans?: readonly Node[]
}

/** Rows that were read of tables, used or not. */
function countRead(node: Node): number {
  const own = (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops']
  const below = (node.Plans ?? []).reduce((sum, each) => sum + countRead(each), 0)
  return (node['Relation Name'] === undefined ? 0 : own) + below
}

/** What one claim does, and takes back. */
async function claim(): Promise<{ claimed: unknown; rows: number }> {
  const undone = new Error('nothing of it stays')
  const found = { claimed: null as unknown, rows: 0 }
  const tried = pool.transaction(async (tx) => {
    let asked: { sql: string; values: readonly unknown[] } | null = null
    const listening = {
      query: async (sql: string, values: readonly unknown[] = []) => ((asked = { sql, values }), []),
    } as unknown as Transaction
    await claimNextDeploy(listening, 'w')
    const { sql, values } = asked as unknown as { sql: string; values: readonly unknown[] }
    await tx.query('savepoint before')
    const [plan] = await tx.query<{ 'QUERY PLAN': [{ Plan: Node }] }>(`explain (analyze, format json) ${sql}`, values)
    found.rows = countRead((plan as { 'QUERY PLAN': [{ Plan: Node }] })['QUERY PLAN'][0].Plan)
    await tx.query('rollback to savepoint before')
    found.claimed = await claimNextDeploy(tx, 'w')
    throw undone
  })
  await expect(tried).rejects.toBe(undone)
  return found
}

describe(`the claim of a queue with ${environments} environments`, () => {
  it('reads next to nothing when next to nothing waits', async () => {
    const idle = await claim()
    expect(idle).toEqual({ claimed: null, rows: expect.any(Number) })
    expect(idle.rows).toBeLessThan(10)
    await pool.query(`${insertWaiting('deploy')} order by id limit 1`)
    const one = await claim()
    expect(one.claimed).not.toBeNull()
    expect(one.rows).toBeLessThan(50)
  })

  it('reads what waits once, and its environment, when all are locked: what it looks for may be the last of them', async () => {
    await pool.query(
      `update environments set locked_at = now(), locked_by = 'ada', lock_reason = 'x', lock_waits = true`,
    )
    await pool.query(insertWaiting('promotion'))
    await pool.query('vacuum analyze')
    const held = await claim()
    expect(held).toEqual({ claimed: null, rows: expect.any(Number) })
    expect(held.rows).toBeLessThanOrEqual(2 * environments + 100)
    await pool.query(`${insertWaiting('restart')} order by id desc limit 1`)
    const one = await claim()
    expect(one.claimed).not.toBeNull()
    expect(one.rows).toBeLessThanOrEqual(2 * environments + 100)
  })
})
