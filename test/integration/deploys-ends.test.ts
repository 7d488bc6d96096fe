import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import {
  recordEnd,
  recordOutage,
  recordRecovered,
  recordStartAttempt,
  recordStartError,
  recordUp,
} from '../../src/deploys/level/ends-store.ts'
import { listInstances, recordContainer } from '../../src/deploys/instances.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine
let id: number

beforeEach(async () => {
  spine = await makeSpine()
  await spine.log(await spine.push('test', commitOf('a')))
  // Nobody else looks after it.
  await spine.deploys.stop()
  id = (await now()).id
})
afterEach(() => spine.close())

const now = async () => {
  const [instance] = await listInstances(spine.db)
  if (instance === undefined) throw new Error('there is no instance')
  return instance
}
const events = async (): Promise<string[]> => {
  const rows = await spine.db.query<{ kind: string }>(
    `select kind from events where kind like 'instance.%' order by id`,
  )
  return rows.map(({ kind }) => kind.slice('instance.'.length))
}
const minutesPass = (minutes: number): Promise<unknown> =>
  spine.db.query(
    `update instances set ends = array(select t - $1 * interval '1 minute' from unnest(ends) with ordinality as x(t, n) order by n)`,
    [minutes],
  )
const endAndReturn = async (exitCode: number | null = 1): Promise<void> => {
  await recordOutage(spine.db, id)
  await recordEnd(spine.db, id, { exitCode, outOfMemory: false })
  await recordUp(spine.db, id)
}

describe('the ends of an instance', () => {
  it('are recorded with how and since when, and told with its return', async () => {
    expect(await recordOutage(spine.db, id)).toBe(true)
    expect(await recordOutage(spine.db, id)).toBe(false)
    await recordEnd(spine.db, id, { exitCode: 137, outOfMemory: true })
    const down = await now()
    expect(down).toMatchObject({ endCount: 1, lastExitCode: 137, lastOutOfMemory: true, crashLoopSince: null })
    expect(down.downSince).toBeInstanceOf(Date)
    expect(await recordUp(spine.db, id)).toBe(true)
    expect(await recordUp(spine.db, id)).toBe(false)
    expect(await now()).toMatchObject({ downSince: null, endCount: 1 })
    const [died] = await spine.db.query(`select data, environment_id is not null as "isOfEnvironment" from events
      where kind = 'instance.died'`)
    expect(died).toEqual({
      data: { release: 1, process: 'web', position: 1, exitCode: 137, outOfMemory: true },
      isOfEnvironment: true,
    })
    expect(await events()).toEqual(['died', 'restarted'])
  })

  it('five within ten minutes are a crash loop: told once, until it is over', async () => {
    for (let n = 0; n < 4; n += 1) await endAndReturn()
    expect((await now()).crashLoopSince).toBeNull()
    for (let n = 0; n < 20; n += 1) await endAndReturn(3)
    const looping = await now()
    expect(looping).toMatchObject({ endCount: 24, lastExitCode: 3 })
    expect(looping.crashLoopSince).toBeInstanceOf(Date)
    const four = ['died', 'restarted', 'died', 'restarted', 'died', 'restarted', 'died', 'restarted']
    expect(await events()).toEqual([...four, 'crash-loop'])
    await recordRecovered(spine.db)
    expect((await now()).crashLoopSince).not.toBeNull()
    await minutesPass(11)
    await recordRecovered(spine.db)
    expect((await now()).crashLoopSince).toBeNull()
    await recordRecovered(spine.db)
    expect(await events()).toEqual([...four, 'crash-loop', 'recovered'])
  })

  it('that are far apart are none', async () => {
    for (let n = 0; n < 12; n += 1) {
      await endAndReturn()
      await minutesPass(3)
    }
    expect((await now()).crashLoopSince).toBeNull()
    const [{ kept } = { kept: 0 }] = await spine.db.query<{ kept: number }>(
      'select cardinality(ends) as kept from instances',
    )
    expect(kept).toBe(10)
  })

  it('one that is down has not recovered, however long ago it ended', async () => {
    await recordOutage(spine.db, id)
    await recordEnd(spine.db, id, { exitCode: 1, outOfMemory: false })
    const begunMs = performance.now()
    await recordStartAttempt(spine.db, id, 3)
    await minutesPass(60)
    await recordRecovered(spine.db)
    expect(await now()).toMatchObject({ startAttempts: 3 })
    // Four seconds, less what has passed since; the database's clock is another one.
    expect((await now()).startDueMs).toBeGreaterThan(3_950 - (performance.now() - begunMs))
    expect((await now()).startDueMs).toBeLessThanOrEqual(4_000)
    await recordUp(spine.db, id)
    await recordRecovered(spine.db)
    expect(await now()).toMatchObject({ startAttempts: 0, startDueMs: 0 })
  })

  it('one that cannot be started says why, until it can', async () => {
    await recordOutage(spine.db, id)
    await recordStartError(spine.db, id, 'The image is gone.')
    expect(await now()).toMatchObject({ startError: 'The image is gone.' })
    await recordContainer(spine.db, id, 'c'.repeat(64))
    expect((await now()).startError).toBeNull()
    await recordStartError(spine.db, id, 'The image is gone.')
    await recordUp(spine.db, id)
    expect(await now()).toMatchObject({ startError: null, downSince: null })
  })

  it('count only while it serves', async () => {
    await spine.db.query(`update instances set state = 'draining', drain_until = now()`)
    expect(await recordOutage(spine.db, id)).toBe(false)
    await recordEnd(spine.db, id, { exitCode: 1, outOfMemory: false })
    expect(await now()).toMatchObject({ endCount: 0, downSince: null })
    expect(await events()).toEqual([])
  })
})
