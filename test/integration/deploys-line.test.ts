import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { claimNextDeploy } from '../../src/deploys/line-store.ts'
import type { Transaction } from '../../src/postgres/database.ts'
import { makeHeldBuild } from '../support/held-build.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine

beforeEach(async () => {
  spine = await makeSpine()
})
afterEach(() => spine.close())

const states = async (): Promise<string[]> =>
  (await spine.db.query<{ state: string }>('select state from deploys order by id')).map(({ state }) => state)

const command = (label: string, run: string) => ({ label, run, on: ['deploy' as const], timeoutMs: 20_000 })

async function until(done: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000
  while (!(await done())) {
    if (Date.now() > end) throw new Error('it did not happen')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

const untilStep = (id: number, step: string): Promise<void> =>
  until(async () => (await spine.deploys.get(id)).step === step)

const untilLogged = (id: number, text: string): Promise<void> =>
  until(
    async () =>
      (await spine.db.query('select 1 from deploy_log where deploy_id = $1 and text = $2', [id, text])).length > 0,
  )

describe('the line of an environment', () => {
  it('lets a rollback go first, and tells the others their new places', async () => {
    const held = makeHeldBuild()
    spine.onBuild = (build, signal) => (build.commit === commitOf('a') ? held.hook(build, signal) : Promise.resolve())
    const first = await spine.push('test', commitOf('a'))
    await held.reached
    const byHand = await spine.deploy('test', commitOf('b'))
    const rollback = await spine.request('rollback', 'test', commitOf('c'))
    expect((await spine.deploys.get(byHand)).waitingFor).toBe(
      `Waiting for deploy ${first} of test to end (place 2 in the line)`,
    )
    held.open()
    const log = await spine.log(byHand)
    await spine.log(rollback)
    expect(log.filter((line) => line.startsWith('detail: Waiting'))).toEqual([
      `detail: Waiting for deploy ${first} of test to end (place 1 in the line)`,
      `detail: Waiting for deploy ${first} of test to end (place 2 in the line)`,
      `detail: Waiting for deploy ${rollback} of test to end (place 1 in the line)`,
    ])
    const order = await spine.db.query<{ id: number }>('select id from deploys order by finished_at')
    expect(order.map(({ id }) => id)).toEqual([first, rollback, byHand])
    expect((await spine.deploys.get(byHand)).waitingFor).toBeNull()
  })

  it('is not begun with one behind its first while somebody else is at that', async () => {
    const { id: environmentId } = await spine.environment('test')
    await spine.deploys.stop()
    const ids: number[] = []
    for (const commit of ['a', 'b']) {
      const request = { environmentId, kind: 'deploy', branch: 'main', requestedBy: 'ada', pushId: null } as const
      const add = (tx: Transaction) => spine.deploys.request(tx, { ...request, commit: commitOf(commit) })
      ids.push((await spine.db.transaction(add)).deployId)
    }
    const claim = () => spine.db.transaction((tx) => claimNextDeploy(tx, 'w'))
    await spine.db.transaction(async (tx) => {
      await tx.query('update deploys set waiting_for = null where id = $1', [ids[0]])
      expect(await claim()).toBeNull()
    })
    expect(await claim()).toMatchObject({ id: ids[0] })
    expect(await claim()).toBeNull()
    await spine.db.query('delete from deploys')
  })

  it('never lets a push take the place of a promotion or a rollback', async () => {
    const held = makeHeldBuild()
    spine.onBuild = (build, signal) => (build.commit === commitOf('a') ? held.hook(build, signal) : Promise.resolve())
    await spine.push('test', commitOf('a'))
    await held.reached
    await spine.request('promotion', 'test', commitOf('b'))
    await spine.request('rollback', 'test', commitOf('c'))
    const newest = await spine.push('test', commitOf('d'))
    held.open()
    await spine.log(newest)
    expect(await states()).toEqual(['live', 'live', 'live', 'live'])
  })

  it('takes a deploy whose build waits for a slot as waiting', async () => {
    const held = makeHeldBuild()
    spine.onBuild = (build, signal) => (build.commit === commitOf('a') ? held.hook(build, signal) : Promise.resolve())
    const first = await spine.push('test', commitOf('a'))
    await held.reached
    await spine.db.query(`update builds set state = 'waiting'`)
    const newer = await spine.push('test', commitOf('b'))
    const log = await spine.log(first)
    expect(log).toContain(`error: A newer push took the place of this one: deploy ${newer} (bbbbbbbbbb).`)
    expect(log.at(-1)).toMatch(/status=superseded$/)
    await spine.log(newer)
    expect(await states()).toEqual(['superseded', 'live'])
  })

  it('with supersede: running ends a running build for a newer push, but nothing whose release commands began', async () => {
    await spine.db.query(`update environments set supersede = 'running'`)
    const held = makeHeldBuild()
    spine.onBuild = (build, signal) => (build.commit === commitOf('a') ? held.hook(build, signal) : Promise.resolve())
    const first = await spine.push('test', commitOf('a'))
    await held.reached
    spine.config = { ...spine.config, releaseCommands: [command('migrations', 'echo begun; sleep 0.5')] }
    const second = await spine.push('test', commitOf('b'))
    expect((await spine.log(first)).at(-1)).toMatch(/status=superseded$/)
    expect((await spine.deploys.get(first)).supersededBy).toBe(second)
    await untilLogged(second, 'begun')
    const third = await spine.push('test', commitOf('c'))
    await spine.log(third)
    expect(await states()).toEqual(['superseded', 'live', 'live'])
  })
})

describe('cancelling', () => {
  it('ends a release command and says which ran', async () => {
    const slow = command('slow', 'echo begun; exec sleep 15')
    spine.config = { ...spine.config, releaseCommands: [command('migrations', 'true'), slow] }
    const id = await spine.push('test', commitOf('a'))
    await untilLogged(id, 'begun')
    await spine.deploys.cancel(id, 'ada')
    const log = await spine.log(id)
    expect(log).toContain(
      'error: Cancelled by ada. Of its release commands “migrations” ran to its end, “slow” was told to stop (its output says how far it came).',
    )
    expect(log.at(-1)).toMatch(/status=cancelled$/)
    expect(spine.runtime.names()).toEqual([])
  })

  it('removes the new instance when it comes during the checks', async () => {
    await spine.log(await spine.push('test', commitOf('a')))
    // Nothing listens on port 1.
    spine.config = { ...spine.config, port: 1, health: { ...spine.config.health, deadlineMs: 20_000 } }
    const id = await spine.push('test', commitOf('b'))
    await untilStep(id, 'check')
    await spine.deploys.cancel(id, 'ada')
    expect((await spine.log(id)).at(-1)).toMatch(/status=cancelled$/)
    expect(spine.runtime.names()).toEqual(['slw-spine-test--shop-v1-1'])
  })

  it('is refused while the traffic moves, with the way back', async () => {
    let cancelled: Promise<unknown> = Promise.resolve()
    const swap = spine.router.swap.bind(spine.router)
    spine.router.swap = async (key, to) => {
      cancelled = spine.deploys.cancel(1, 'ada').catch((error: unknown) => error)
      await cancelled
      return swap(key, to)
    }
    const log = await spine.log(await spine.push('test', commitOf('a')))
    expect(await cancelled).toMatchObject({
      code: 'conflict',
      message: 'Deploy 1 is being swapped in at this moment.',
      hint: expect.stringContaining('go back'),
    })
    expect(log.at(-1)).toMatch(/status=live$/)
  })
})
