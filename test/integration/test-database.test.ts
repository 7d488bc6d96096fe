import { afterEach, describe, expect, it } from '@jest/globals'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makePool } from '../../src/postgres/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const made: TestDatabase[] = []
afterEach(async () => {
  for (const database of made.splice(0)) await database.drop()
})

describe('createTestDatabase', () => {
  it('gives each test tables of its own, also when many ask at once', async () => {
    made.push(...(await Promise.all(Array.from({ length: 4 }, () => createTestDatabase()))))
    const counts = await Promise.all(
      made.map(async ({ url }, i) => {
        const pool = makePool({ connectionString: url }, { logger: silentLogger, size: 1 })
        await pool.query('insert into apps (name) values ($1)', [`app-${i}`])
        const rows = await pool.query<{ name: string }>('select name from apps')
        await pool.close()
        return rows
      }),
    )
    expect(counts).toEqual([0, 1, 2, 3].map((i) => [{ name: `app-${i}` }]))
  })

  it('drops a database that is in use', async () => {
    const database = await createTestDatabase()
    const pool = makePool(database.connection, { logger: silentLogger, size: 1 })
    await pool.query('select 1')
    await database.drop()
    await expect(pool.query('select 1')).rejects.toThrow()
    await pool.close()
  })
})
