import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { makeEnvironments } from '../../src/environments/index.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makePool, type Pool } from '../../src/postgres/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
let db: Pool

beforeAll(async () => {
  database = await createTestDatabase()
  db = makePool(database.connection, { logger: silentLogger, size: 5 })
})
afterAll(async () => {
  await db.close()
  await database.drop()
})

describe('a new app', () => {
  it('cannot take an address that Slipway needs itself, and leaves nothing when it is refused', async () => {
    const environments = makeEnvironments({ db, isReserved: (label) => label === 'deploy' })
    await expect(environments.createApp('deploy')).rejects.toMatchObject({ code: 'conflict' })
    expect(await environments.findApp('deploy')).toBeNull()
    expect((await environments.createApp('deploys')).name).toBe('deploys')
  })

  it('is made once when two ask at the same time', async () => {
    const environments = makeEnvironments({ db })
    const both = await Promise.all([environments.ensureApp('twice'), environments.ensureApp('twice')])
    expect(both.map(({ created }) => created).sort()).toEqual([false, true])
    expect((await environments.list('twice')).map(({ name, live }) => [name, live])).toEqual([
      ['test', false],
      ['live', true],
    ])
  })
})
