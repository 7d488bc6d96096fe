import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { makeHeldBuild } from '../support/held-build.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine
let id: number

beforeEach(async () => {
  spine = await makeSpine()
  id = (await spine.environment('test')).id
})
afterEach(() => spine.close())

const v1 = 'slw-spine-test--shop-v1-1'
const host = 'test--shop.localhost'
const until = async (what: string, done: () => boolean | Promise<boolean>): Promise<void> => {
  for (const end = Date.now() + 20_000; !(await done()); await new Promise((resolve) => setTimeout(resolve, 20))) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`)
  }
}
const untilNothingRuns = (): Promise<void> => until('nothing runs', () => spine.runtime.names().length === 0)
const routes = async (): Promise<Record<string, unknown>> => {
  const { hosts, keys, sets } = await spine.router.read()
  return { hosts: [...hosts.keys()], to: keys.get(`e${id}`), keys: keys.size, sets: sets.size }
}
const stoppedRoutes = { hosts: [host], to: { state: 'stopped' }, keys: 1, sets: 0 }
const state = async (): Promise<string> => (await spine.environment('test')).state
const goLive = async (commit: string): Promise<void> => {
  expect((await spine.log(await spine.push('test', commit))).at(-1)).toMatch(/status=live$/)
}

describe('an environment that is stopped', () => {
  it('says so at its address at once, lets open requests finish, and then runs nothing', async () => {
    spine.config = { ...spine.config, drainMs: 20_000 }
    await goLive(commitOf('a'))
    const [target] = [...(await spine.router.read()).sets.values()].flat()
    if (target === undefined) throw new Error('v1 has no instance')
    spine.router.setOpenConnections(target, 1)
    await spine.deploys.stopServing(id, 'ada')
    expect(await state()).toBe('stopped')
    expect(await routes()).toMatchObject({ to: { state: 'stopped' } })
    await new Promise((resolve) => setTimeout(resolve, 400))
    expect(spine.runtime.names()).toEqual([v1])
    spine.router.setOpenConnections(target, 0)
    await untilNothingRuns()
    await until('the routes are level', async () => (await routes())['sets'] === 0)
    expect(await routes()).toEqual(stoppedRoutes)
    // Freed after the proxy has let go of its set.
    await until('its address is free', async () => {
      return (await spine.db.query('select 1 from addresses where instance_id is not null')).length === 0
    })
    expect(await spine.db.query(`select actor, data from events where kind = 'environment.stopped'`)).toEqual([
      { actor: 'ada', data: { environment: 'test' } },
    ])
    await spine.deploys.stopServing(id, 'ada')
    expect(await spine.db.query(`select 1 from events where kind = 'environment.stopped'`)).toHaveLength(1)
  })

  it('stays stopped after a restart and whatever is compared, and nothing is put right', async () => {
    await goLive(commitOf('a'))
    await spine.deploys.stopServing(id, 'ada')
    await untilNothingRuns()
    await spine.restart()
    expect((await spine.deploys.reconcile()).mended).toEqual([])
    expect([await state(), await routes(), spine.runtime.names()]).toEqual(['stopped', stoppedRoutes, []])
  })

  it('serves the same release again when it is started: nothing is built, and no command runs', async () => {
    spine.config = {
      ...spine.config,
      releaseCommands: [{ label: 'once', run: 'true', on: ['deploy'], timeoutMs: 5000 }],
    }
    await goLive(commitOf('a'))
    await spine.deploys.stopServing(id, 'ada')
    const { deployId } = await spine.deploys.startServing(id, 'bob')
    const log = await spine.log(deployId)
    expect(log.at(-1)).toBe(`machine: slipway: deploy=${deployId} environment=test release=v1 status=live`)
    expect(log.join('\n')).toContain('test is stopped: it serves again when this deploy is live')
    expect(log.join('\n')).not.toMatch(/Building|release command/)
    // What was stopped is retired in the background.
    await until('the old one is gone', async () => spine.runtime.names().length === 1 && (await routes())['sets'] === 1)
    expect([spine.builder.begun.length, await state(), spine.runtime.names()]).toEqual([
      1,
      'active',
      [`slw-spine-test--shop-v1-d${deployId}-1`],
    ])
    expect(await routes()).toMatchObject({
      hosts: [host, 'v1--test--shop.localhost', 'v0--test--shop.localhost'],
      to: { size: 1 },
      sets: 1,
    })
    expect(await spine.deploys.get(deployId)).toMatchObject({ kind: 'start', branch: 'main', requestedBy: 'bob' })
    // And again: its instances are others each time.
    await spine.deploys.stopServing(id, 'ada')
    await untilNothingRuns()
    expect((await spine.log((await spine.deploys.startServing(id, 'bob')).deployId)).at(-1)).toMatch(/status=live$/)
  })

  it('is started by any deploy that goes live, which says so; one that fails leaves it stopped', async () => {
    await goLive(commitOf('a'))
    await spine.deploys.stopServing(id, 'ada')
    await untilNothingRuns()
    spine.onBuild = () => Promise.reject(new Error('broken'))
    expect((await spine.log(await spine.push('test', commitOf('b')))).at(-2)).toBe('error: test is still stopped.')
    spine.router.failNext('swap', { takesEffect: true })
    spine.onBuild = async () => undefined
    expect((await spine.log(await spine.push('test', commitOf('b')))).at(-2)).toBe('error: test is still stopped.')
    expect([await state(), await routes(), spine.runtime.names()]).toEqual(['stopped', stoppedRoutes, []])
    const log = await spine.log(await spine.push('test', commitOf('c')))
    expect(log).toContain('detail: test is stopped: it serves again when this deploy is live')
    expect([await state(), log.at(-1)]).toEqual(['active', expect.stringMatching(/release=v3 status=live$/)])
  })

  it('goes on with a start that was interrupted', async () => {
    await goLive(commitOf('a'))
    await spine.deploys.stopServing(id, 'ada')
    await untilNothingRuns()
    const { deployId } = await spine.deploys.startServing(id, 'bob')
    await spine.restart()
    expect((await spine.log(deployId)).at(-1)).toMatch(/status=live$/)
    expect(await state()).toBe('active')
  })

  it('cannot be one where nothing was deployed, or a deploy has not ended; nor is one started that is not stopped', async () => {
    const conflict = { code: 'conflict' }
    await expect(spine.deploys.stopServing(id, 'ada')).rejects.toMatchObject(conflict)
    await expect(spine.deploys.startServing(id, 'ada')).rejects.toMatchObject(conflict)
    await goLive(commitOf('a'))
    const before = await spine.router.read()
    const held = makeHeldBuild()
    spine.onBuild = held.hook
    const running = await spine.push('test', commitOf('b'))
    await expect(spine.deploys.stopServing(id, 'ada')).rejects.toMatchObject({
      ...{ ...conflict, hint: `Wait for it, or end it: slipway deploys cancel ${running}` },
    })
    await expect(spine.deploys.startServing(id, 'ada')).rejects.toMatchObject(conflict)
    held.open()
    await spine.log(running)
    expect(before.hosts.get(host)).toBe((await spine.router.read()).hosts.get(host))
  })

  it('serves on when the proxy does not take it', async () => {
    await goLive(commitOf('a'))
    const before = await spine.router.read()
    spine.router.failNext('swap', { takesEffect: true })
    await expect(spine.deploys.stopServing(id, 'ada')).rejects.toMatchObject({ code: 'unavailable' })
    expect([await state(), await spine.router.read(), spine.runtime.names()]).toEqual(['active', before, [v1]])
  })
})
