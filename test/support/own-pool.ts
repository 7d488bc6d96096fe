import { afterAll, beforeAll } from '@jest/globals'
import { makeEnvironments } from '../../src/environments/index.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makePool, type Pool } from '../../src/postgres/index.ts'
import { createTestDatabase, type TestDatabase } from './database.ts'

export interface OwnPool {
  readonly pool: Pool
  /** `live` of the app `shop`. */
  readonly environmentId: number
}

/** One database for the tests of a file, with an app, given to `take` before the first. */
export function withOwnPool(take: (own: OwnPool) => void): void {
  let database: TestDatabase
  let pool: Pool
  beforeAll(async () => {
    database = await createTestDatabase()
    pool = makePool(database.connection, { logger: silentLogger, size: 2 })
    const environments = makeEnvironments({ db: pool })
    await environments.createApp('shop')
    take({ pool, environmentId: (await environments.get('shop', 'live')).id })
  })
  afterAll(async () => {
    await pool.close()
    await database.drop()
  })
}
