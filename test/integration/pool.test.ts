import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { silentLogger } from '../../src/kernel/logger.ts'
import { isDatabaseAway, makePool, type Pool } from '../../src/postgres/index.ts'
import { prepared } from '../../src/postgres/database.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

describe('the pool of connections', () => {
  let database: TestDatabase
  let pool: Pool

  beforeAll(async () => {
    database = await createTestDatabase()
    pool = makePool(database.connection, { logger: silentLogger, size: 2 })
  })

  afterAll(async () => {
    await pool.close()
    await database.drop()
  })

  it('outlives a connection that is ended between two statements of a transaction, and says that the database was away', async () => {
    const broken = pool.transaction(async (tx) => {
      const [own] = await tx.query<{ pid: number }>('select pg_backend_pid() as pid')
      await pool.query('select pg_terminate_backend($1)', [own?.pid])
      await delay(200)
      await tx.query('select 1')
    })
    const error = await broken.catch((thrown: unknown) => thrown)
    expect(isDatabaseAway(error)).toBe(true)
    expect(await pool.query('select 1 as one')).toEqual([{ one: 1 }])
  })

  it('goes on with another connection when a table was changed after a statement was prepared', async () => {
    await pool.query('create table changing (id int, size int)')
    await pool.query('insert into changing values (1, 2)')
    const sql = 'select size from changing where id = $1'
    const ask = () => pool.transaction((tx) => tx.query(sql, [1], prepared))
    expect(await ask()).toEqual([{ size: 2 }])
    expect(await pool.query('select 3 as size where $1 = 1', [1], prepared)).toEqual([{ size: 3 }])
    await pool.query('alter table changing alter size type text')
    // One connection has prepared it.
    expect(isDatabaseAway(await ask().catch((thrown: unknown) => thrown))).toBe(true)
    expect(await ask()).toEqual([{ size: '2' }])
  })

  it('gives up a server process that stands still, in a transaction too, and goes on with another', async () => {
    let stopped = 0
    const startedMs = performance.now()
    const work = pool.transaction(async (tx) => {
      const [own] = await tx.query<{ pid: number }>('select pg_backend_pid() as pid')
      stopped = own?.pid ?? 0
      process.kill(stopped, 'SIGSTOP')
      await tx.query('select 1')
    })
    try {
      expect(isDatabaseAway(await work.catch((thrown: unknown) => thrown))).toBe(true)
      // One statement's time: nothing more is asked of that one.
      expect(performance.now() - startedMs).toBeLessThan(8_000)
      expect(await pool.query('select 1 as one')).toEqual([{ one: 1 }])
    } finally {
      process.kill(stopped, 'SIGCONT')
    }
  }, 20_000)
})
