import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makePool } from '../../src/postgres/index.ts'
import { freeAddress, takeAddress } from '../../src/runtime/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const range = { subnet: '10.213.0.0/28', reserved: ['10.213.0.1', '10.213.0.13', '10.213.0.14'] }
const wide = { subnet: '10.214.0.0/22', reserved: ['10.214.0.1'] }

describe('addresses of instances', () => {
  let database: TestDatabase
  let pool: ReturnType<typeof makePool>
  let releaseId: number
  let deployId: number
  let position = 0

  beforeAll(async () => {
    database = await createTestDatabase()
    pool = makePool(database.connection, { logger: silentLogger, size: 12 })
    const [ids] = await pool.query<{ release: number; deploy: number }>(
      `with app as (insert into apps (name) values ('shop') returning id),
       environment as (
         insert into environments (app_id, name, label, live, deploy_on_push, allow_forced_push)
         select id, 'test', 'test--shop', false, true, true from app returning id, app_id),
       build as (
         insert into builds (app_id, number, commit, key, config, state)
         select id, 1, 'c', 'k', '{}', 'waiting' from app returning id),
       release as (
         insert into releases (environment_id, number, build_id)
         select environment.id, 1, build.id from environment, build returning id, environment_id),
       deploy as (
         insert into deploys (environment_id, kind, commit, requested_by, state)
         select environment_id, 'deploy', 'c', 'me', 'waiting' from release returning id)
       select release.id as release, deploy.id as deploy from release, deploy`,
    )
    releaseId = ids?.release ?? 0
    deployId = ids?.deploy ?? 0
  })
  beforeEach(() => pool.query('truncate addresses'))
  afterAll(async () => {
    await pool.close()
    await database.drop()
  })

  async function makeInstance(): Promise<number> {
    position += 1
    const [row] = await pool.query<{ id: number }>(
      `insert into instances (release_id, deploy_id, position, port, state, drain_ms, stop_ms)
       values ($1, $2, $3, 8080, 'starting', 0, 0) returning id`,
      [releaseId, deployId, position],
    )
    return row?.id ?? 0
  }
  const take = async (of = range, instance?: number): Promise<string> => {
    const id = instance ?? (await makeInstance())
    return pool.transaction((tx) => takeAddress(tx, id, of))
  }
  const letTimePass = (minutes: number): Promise<object[]> =>
    pool.query(`update addresses set reusable_at = reusable_at - make_interval(mins => $1)`, [minutes])

  it('are the lowest free ones, without the reserved', async () => {
    expect([await take(), await take(), await take()]).toEqual(['10.213.0.2', '10.213.0.3', '10.213.0.4'])
  })

  it('are the same when asked for again', async () => {
    const id = await makeInstance()
    expect(await take(range, id)).toBe(await take(range, id))
  })

  it('rest for ten minutes when freed, also when freed twice', async () => {
    const id = await makeInstance()
    const first = await take(range, id)
    await freeAddress(pool, id)
    await freeAddress(pool, id)
    expect(await take()).toBe('10.213.0.3')
    await letTimePass(9)
    expect(await take()).toBe('10.213.0.4')
    await letTimePass(2)
    expect(await take()).toBe(first)
  })

  it('rest too when the instance’s row is deleted', async () => {
    const id = await makeInstance()
    await take(range, id)
    await pool.query('delete from instances where id = $1', [id])
    expect(await take()).toBe('10.213.0.3')
    await letTimePass(11)
    expect(await take()).toBe('10.213.0.2')
  })

  it('run out with a message, and an aborted transaction takes none', async () => {
    const first = await makeInstance()
    await expect(
      pool.transaction(async (tx) => {
        await takeAddress(tx, first, range)
        throw new Error('the start failed')
      }),
    ).rejects.toThrow('the start failed')
    // 14 hosts, three reserved.
    for (let i = 0; i < 11; i++) await take()
    await expect(take()).rejects.toMatchObject({
      code: 'unavailable',
      message: 'No address is free in 10.213.0.0/28 for another instance.',
    })
  })

  it('are given to ten at once without one twice, while others’ transactions are open', async () => {
    await take(wide)
    const holders = await Promise.all(Array.from({ length: 10 }, makeInstance))
    let inside = 0
    const all = await Promise.all(
      holders.map((id) =>
        pool.transaction(async (tx) => {
          const address = await takeAddress(tx, id, wide)
          inside += 1
          // All hold their lock at the same moment: none waited for another.
          for (let i = 0; i < 2_000 && inside < holders.length; i++) await new Promise((r) => setTimeout(r, 10))
          return address
        }),
      ),
    )
    expect(inside).toBe(10)
    expect(new Set(all).size).toBe(10)
  })

  it('are quick to find with 1,000 in use', async () => {
    await take(wide)
    await pool.query(
      `with made as (
         insert into instances (release_id, deploy_id, position, port, state, drain_ms, stop_ms)
         select $1, $2, 10000 + n, 8080, 'serving', 0, 0 from generate_series(1, 1000) as n returning id
       ), numbered as (select id, row_number() over (order by id) as n from made),
       free as (select address, row_number() over (order by address) as n from addresses where instance_id is null)
       update addresses set instance_id = numbered.id, reusable_at = null
       from free join numbered using (n) where addresses.address = free.address`,
      [releaseId, deployId],
    )
    const startedMs = performance.now()
    for (let i = 0; i < 10; i++) await take(wide)
    // 2 ms on a quiet machine; a look at each of the thousand would take seconds.
    expect((performance.now() - startedMs) / 10).toBeLessThan(500)
  })
})
