import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { makeHeldBuild } from '../support/held-build.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine

beforeEach(async () => {
  spine = await makeSpine({ buildSlots: 4 })
})
afterEach(() => spine.close())

/** A strict push of a commit for each environment, in one transaction. */
async function pushStrict(commits: Readonly<Partial<Record<'test' | 'live', string>>>): Promise<number[]> {
  const environments = await Promise.all(
    (Object.keys(commits) as ('test' | 'live')[]).map((name) => spine.environment(name)),
  )
  const ids = await spine.db.transaction(async (tx) => {
    const rows = await tx.query<{ id: number }>(
      `insert into pushes (app_id, pushed_by, state, updates) select id, 'ada', 'strict', '[]' from apps returning id`,
    )
    const queued: number[] = []
    for (const { id: environmentId, name } of environments) {
      const commit = commits[name as 'test' | 'live'] as string
      const request = { environmentId, kind: 'push', branch: 'main', commit, requestedBy: 'ada' } as const
      const deploy = await spine.deploys.request(tx, { ...request, pushId: rows[0]?.id as number, strict: true })
      queued.push(deploy.deployId)
    }
    return queued
  })
  spine.deploys.wake()
  return ids
}

const stateOf = async (id: number): Promise<string> => (await spine.deploys.get(id)).state

async function untilPassed(id: number): Promise<void> {
  const end = Date.now() + 20_000
  const passed = `select 1 from deploy_steps where deploy_id = $1 and step = 'check' and outcome = 'done'`
  while ((await spine.db.query(passed, [id])).length === 0) {
    if (Date.now() > end) throw new Error('it did not pass')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** One has passed; the other one's build is held. */
async function holdSecond(): Promise<{ first: number; second: number; open: () => void }> {
  const held = makeHeldBuild()
  spine.onBuild = (build, signal) => (build.commit === commitOf('b') ? held.hook(build, signal) : Promise.resolve())
  const [first = 0, second = 0] = await pushStrict({ test: commitOf('a'), live: commitOf('b') })
  await held.reached
  await untilPassed(first)
  return { first, second, open: () => held.open() }
}

const swaps = async (): Promise<number> =>
  (await spine.db.query(`select 1 from deploy_steps where step = 'swap'`)).length

describe('a strict push', () => {
  it('of one environment goes live like any other', async () => {
    const [id = 0] = await pushStrict({ test: commitOf('a') })
    const log = await spine.log(id)
    expect(await stateOf(id)).toBe('live')
    expect(log).toContain('detail: All deploys of this strict push have passed')
  })

  it('swaps nowhere before all environments have passed, and is replaced by nobody meanwhile', async () => {
    const { first, second, open } = await holdSecond()
    const newer = await spine.push('test', commitOf('c'))
    expect([await swaps(), await stateOf(first)]).toEqual([0, 'running'])
    open()
    const log = await spine.log(first)
    await spine.log(second)
    await spine.log(newer)
    expect(log).toContain(`detail: Passed; before it swaps, so must live (deploy ${second})`)
    expect(await Promise.all([first, second, newer].map(stateOf))).toEqual(['live', 'live', 'live'])
  })

  it('leaves all environments as they are when one of them fails', async () => {
    const before = await spine.push('test', commitOf('0'))
    await spine.log(before)
    spine.onBuild = async (build) => {
      if (build.commit !== commitOf('b')) return
      await untilPassed(before + 1)
      throw new Error('it does not build')
    }
    const [first = 0, second = 0] = await pushStrict({ test: commitOf('a'), live: commitOf('b') })
    const log = await spine.log(first)
    await spine.log(second)
    expect(await Promise.all([first, second].map(stateOf))).toEqual(['failed', 'failed'])
    expect(log).toContain(
      `error: The deploy to live of the same strict push did not go live (deploy ${second}), so none of them swaps.`,
    )
    expect(log).toContain('error: test still serves v1, untouched.')
    expect(log.at(-1)).toMatch(/status=failed$/)
    expect(await swaps()).toBe(1)
    const left = await spine.db.query(`select 1 from instances where deploy_id = $1 and state <> 'retired'`, [first])
    expect(left).toEqual([])
  })

  it('ends everywhere when one of its deploys is cancelled, also one that still waits in its line', async () => {
    const held = makeHeldBuild()
    spine.onBuild = (build, signal) => (build.commit === commitOf('0') ? held.hook(build, signal) : Promise.resolve())
    const busy = await spine.push('live', commitOf('0'))
    await held.reached
    const [first = 0, second = 0] = await pushStrict({ test: commitOf('a'), live: commitOf('b') })
    await untilPassed(first)
    await spine.deploys.cancel(first, 'eve')
    await spine.log(first)
    const log = await spine.log(second)
    expect(await Promise.all([first, second].map(stateOf))).toEqual(['cancelled', 'failed'])
    expect(log.at(-2)).toMatch(/^error: The deploy to test of the same strict push /)
    held.open()
    await spine.log(busy)
    expect(await stateOf(busy)).toBe('live')
  })

  it('cannot be cancelled any more once all have passed', async () => {
    const { first, second, open } = await holdSecond()
    await spine.db.query('update deploys set swap_agreed = true')
    await expect(spine.deploys.cancel(first, 'eve')).rejects.toMatchObject({ code: 'conflict' })
    await spine.db.query('update deploys set swap_agreed = false')
    open()
    await Promise.all([first, second].map((id) => spine.log(id)))
  })

  it('gives up when one has waited too long for the others', async () => {
    const { first, second } = await holdSecond()
    await spine.db.query(`update deploy_steps set finished_at = now() - interval '61 minutes' where deploy_id = $1`, [
      first,
    ])
    spine.deploys.wake()
    const log = await spine.log(first)
    await spine.log(second)
    expect(log.some((line) => line.includes('did not'))).toBe(true)
    expect(await Promise.all([first, second].map(stateOf))).toEqual(['failed', 'failed'])
  })

  it('goes on where it was when the server was started again', async () => {
    const { first, second, open } = await holdSecond()
    await spine.restart()
    expect([await swaps(), await stateOf(first)]).toEqual([0, 'running'])
    open()
    spine.onBuild = async () => undefined
    await Promise.all([first, second].map((id) => spine.log(id)))
    expect(await Promise.all([first, second].map(stateOf))).toEqual(['live', 'live'])
  })

  it('ends for a rollback that holds pushes: while it waits for the others, and in its line', async () => {
    const first = await spine.push('test', commitOf('1'))
    await spine.log(first)
    // One after the other: it would take the place of one that waits.
    await spine.log(await spine.push('test', commitOf('2')))
    const releaseId = (await spine.deploys.get(first)).releaseId as number
    const back = { from: { releaseId, variables: 'release' }, holds: true } as const
    const strict = await holdSecond()
    const rollback = await spine.request('rollback', 'test', commitOf('1'), back)
    expect((await spine.log(strict.first)).at(-1)).toMatch(/status=superseded$/)
    await spine.log(strict.second)
    await spine.log(rollback)
    expect(await Promise.all([strict.first, strict.second, rollback].map(stateOf))).toEqual([
      ...['superseded', 'failed', 'live'],
    ])

    const held = makeHeldBuild()
    spine.onBuild = held.hook
    const busy = await spine.deploy('test', commitOf('3'))
    await held.reached
    const [waiting = 0] = await pushStrict({ test: commitOf('4') })
    const again = await spine.request('rollback', 'test', commitOf('1'), back)
    expect(await stateOf(waiting)).toBe('superseded')
    held.open()
    await Promise.all([busy, again].map((id) => spine.log(id)))
    expect(await stateOf(again)).toBe('live')
    expect(await swaps()).toBe(5)
  })
})
