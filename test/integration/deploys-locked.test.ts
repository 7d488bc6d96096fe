import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { type Locks, makeLocks } from '../../src/deploys/index.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine
let locks: Locks

beforeEach(async () => {
  spine = await makeSpine()
  const mask = async (_id: number, text: string): Promise<string> => text.replaceAll('hunter22', '[masked]')
  locks = makeLocks({ db: spine.db, deploys: spine.deploys, mask })
})
afterEach(() => spine.close())

const wish = { reason: 'the big sale', waits: false, allowsRollbacks: false }
const by = { by: 'anna' }
const lock = async (change: Partial<typeof wish> = {}, name: 'test' | 'live' = 'test') =>
  locks.lock(await spine.environment(name), { ...wish, ...change }, by)
const unlock = async (name: 'test' | 'live' = 'test') => locks.unlock(await spine.environment(name), by)
const stateOf = async (id: number): Promise<string> => (await spine.deploys.get(id)).state
const waitingFor = async (id: number): Promise<string | null> => (await spine.deploys.get(id)).waitingFor

describe('a locked environment', () => {
  it('refuses all that brings something new, and says who, since when, why and what to do', async () => {
    await lock()
    for (const kind of ['deploy', 'promotion', 'rollback', 'push'] as const) {
      await expect(spine.request(kind, 'test', commitOf('a'))).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringMatching(
          /^test of \S+ is locked by anna since 20\d\d-\d\d-\d\d \d\d:\d\d UTC: “the big sale”\.$/,
        ),
        hint: expect.stringContaining('slipway unlock test'),
      })
    }
    expect(await spine.deploys.list((await spine.environment('test')).id, { limit: 9 })).toEqual([])
    // Of another environment nothing is held.
    await spine.log(await spine.deploy('live', commitOf('a')))
  })

  it('is kept up: the same release is restarted, scaled and started as ever', async () => {
    await spine.log(await spine.deploy('test', commitOf('a')))
    await lock()
    const restarted = await spine.request('restart', 'test', commitOf('a'))
    await spine.log(restarted)
    expect(await stateOf(restarted)).toBe('live')
    const { id } = await spine.environment('test')
    await spine.deploys.stopServing(id, 'anna')
    const { deployId } = await spine.deploys.startServing(id, 'anna')
    await spine.log(deployId)
    expect(await stateOf(deployId)).toBe('live')
    expect((await spine.environment('test')).lock).toMatchObject({ reason: 'the big sale', by: 'anna' })
  })

  it('lets rollbacks through where that was said', async () => {
    await lock({ allowsRollbacks: true })
    const rollback = await spine.request('rollback', 'test', commitOf('a'))
    await spine.log(rollback)
    expect(await stateOf(rollback)).toBe('live')
    await expect(spine.deploy('test', commitOf('b'))).rejects.toMatchObject({ code: 'conflict' })
  })

  it('lets what runs go on, says so, and holds what stands behind it until the unlock', async () => {
    const gate = Promise.withResolvers<void>()
    spine.onBuild = () => gate.promise
    const running = await spine.deploy('test', commitOf('a'))
    const behind = await spine.deploy('test', commitOf('b'))
    await until(async () => (await stateOf(running)) === 'running')
    expect(await lock({ reason: 'moving the database' })).toEqual({ running, waiting: [behind] })
    expect(await waitingFor(behind)).toMatch(
      /^Waiting for the unlock: test is locked by anna .* “moving the database”$/,
    )
    gate.resolve()
    await spine.log(running)
    expect(await stateOf(running)).toBe('live')
    // A restart comes before what is held, and after it that is still held.
    const restarted = await spine.request('restart', 'test', commitOf('a'))
    await spine.log(restarted)
    expect([await stateOf(restarted), await stateOf(behind)]).toEqual(['live', 'waiting'])
    expect(await unlock()).toMatchObject({ waiting: [behind], lock: { reason: 'moving the database', by: 'anna' } })
    await spine.log(behind)
    expect(await stateOf(behind)).toBe('live')
  })

  it('says what waits for the unlock, and not what waits for something else', async () => {
    const gate = Promise.withResolvers<void>()
    spine.onBuild = () => gate.promise
    const running = await spine.deploy('test', commitOf('a'))
    await until(async () => (await stateOf(running)) === 'running')
    const restarted = await spine.request('restart', 'test', commitOf('a'))
    const behind = await spine.deploy('test', commitOf('b'))
    expect(await lock()).toEqual({ running, waiting: [behind] })
    expect(await unlock()).toMatchObject({ running, waiting: [restarted, behind] })
    gate.resolve()
    for (const id of [running, restarted, behind]) await spine.log(id)
    expect(await stateOf(behind)).toBe('live')
  })

  it('with --wait: deploys stand in line, are told live what they wait for, and begin with the unlock', async () => {
    await lock({ waits: true })
    const push = await spine.push('test', commitOf('a'))
    const deploy = await spine.deploy('test', commitOf('b'))
    expect(await waitingFor(push)).toMatch(/^Waiting for the unlock: test is locked/)
    expect(await waitingFor(deploy)).toMatch(/^Waiting for the unlock: test is locked/)
    // A newer push takes the place of the one that waits, as ever.
    const newer = await spine.push('test', commitOf('c'))
    expect(await stateOf(push)).toBe('superseded')
    // Held across a restart of Slipway, too.
    await spine.restart()
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect([await stateOf(deploy), await stateOf(newer)]).toEqual(['waiting', 'waiting'])
    const again = makeLocks({ db: spine.db, deploys: spine.deploys, mask: async (_id, text) => text })
    await again.unlock(await spine.environment('test'), by)
    const lines = await spine.log(deploy)
    expect(lines.some((line) => line.includes('Waiting for the unlock: test is locked by anna'))).toBe(true)
    await spine.log(newer)
    expect([await stateOf(deploy), await stateOf(newer)]).toEqual(['live', 'live'])
  })

  it('does not let a strict push wait: it is refused, whatever the lock', async () => {
    await lock({ waits: true })
    const { id: environmentId } = await spine.environment('test')
    const strict = spine.db.transaction((tx) =>
      spine.deploys.request(tx, {
        ...{ environmentId, kind: 'push', branch: 'main', commit: commitOf('a'), requestedBy: 'bert' },
        ...{ pushId: null, strict: true },
      }),
    )
    await expect(strict).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('“the big sale”') })
  })

  it('can be cancelled into, and goes with its environment', async () => {
    await lock({ waits: true })
    const deploy = await spine.deploy('test', commitOf('a'))
    await spine.deploys.cancel(deploy, 'anna')
    expect(await stateOf(deploy)).toBe('cancelled')
    expect(await unlock()).toMatchObject({ running: null, waiting: [] })
  })
})

describe('locking', () => {
  it('happens once, and only for the version that was seen', async () => {
    const before = await spine.environment('test')
    await lock()
    await expect(lock({ reason: 'other' })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('“the big sale”'),
    })
    const now = await spine.environment('test')
    expect(now.version).toBe(before.version + 1)
    await expect(locks.unlock(now, { ...by, ifVersion: before.version })).rejects.toMatchObject({ code: 'conflict' })
    expect((await spine.environment('test')).lock).not.toBeNull()
    expect(await unlock()).toMatchObject({ lock: { by: 'anna' } })
    expect(await unlock()).toMatchObject({ lock: null })
    expect((await spine.environment('test')).version).toBe(before.version + 2)
  })

  it('by two at once: one has it', async () => {
    const environment = await spine.environment('test')
    const both = await Promise.allSettled([
      locks.lock(environment, { ...wish, reason: 'one' }, { by: 'anna' }),
      locks.lock(environment, { ...wish, reason: 'other' }, { by: 'bert' }),
    ])
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  })

  it.each([
    ['nothing', '   '],
    ['a terminal’s commands', 'sale \u001b[2J'],
    ['line ends', 'one\nslipway: deploy=1 environment=test release=v9 status=live'],
    ['what turns text round', 'sale \u202eelas'],
    ['10,000 signs', 'x'.repeat(10_000)],
    ['half a sign', 'sale \ud83d'],
  ])('refuses a reason of %s', async (_what, reason) => {
    const refused = lock({ reason })
    await expect(refused).rejects.toMatchObject({ code: 'bad_request' })
    expect((await spine.environment('test')).lock).toBeNull()
  })

  it('takes a secret out of the reason', async () => {
    await lock({ reason: 'because hunter22 leaked' })
    expect((await spine.environment('test')).lock?.reason).toBe('because [masked] leaked')
  })
})

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 5_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 20))) {
    if (await holds()) return
  }
  throw new Error('it never came to that')
}
