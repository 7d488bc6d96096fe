import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { makeDeploys } from '../../src/deploys/index.ts'
import { removeInstances } from '../../src/deploys/retire.ts'
import { SlipwayError } from '../../src/kernel/errors.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine

beforeEach(async () => {
  spine = await makeSpine()
})
afterEach(() => spine.close())

const v1 = 'slw-spine-test--shop-v1-1'
const v2 = 'slw-spine-test--shop-v2-1'
const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function gone(name: string): Promise<void> {
  for (const end = Date.now() + 30_000; spine.runtime.names().includes(name); await delay(20)) {
    if (Date.now() > end) throw new Error(`${name} is still there`)
  }
}

/** Puts v1 live, gives it so many open connections, and lets v2 take its place. */
async function replaceWithOpen(count: number | null, drainMs: number) {
  spine.config = { ...spine.config, drainMs }
  await spine.log(await spine.push('test', commitOf('a')))
  const [target] = [...(await spine.router.read()).sets.values()].flat()
  if (target === undefined) throw new Error('v1 has no instance')
  spine.router.setOpenConnections(target, count)
  await spine.log(await spine.push('test', commitOf('b')))
  return target
}

describe('a release that traffic has left', () => {
  it('stays until its last connection is closed, also over a restart', async () => {
    const target = await replaceWithOpen(1, 30_000)
    await delay(500)
    expect(spine.runtime.names()).toEqual([v1, v2])
    await spine.restart()
    await delay(500)
    expect(spine.runtime.names()).toEqual([v1, v2])
    spine.router.setOpenConnections(target, 0)
    await gone(v1)
  })

  it('stays for its drain time when nobody knows how many are open, and no longer', async () => {
    await replaceWithOpen(null, 4000)
    await delay(600)
    expect(spine.runtime.names()).toEqual([v1, v2])
    await gone(v1)
    expect(spine.runtime.names()).toEqual([v2])
  })

  it('stays for longer where new requests may still come to it', async () => {
    let leads = true
    spine.router.mayLeadAsBefore = () => Promise.resolve(leads)
    await replaceWithOpen(null, 100)
    await delay(1500)
    expect(spine.runtime.names()).toEqual([v1, v2])
    leads = false
    await gone(v1)
  })

  it('stays, too, when the proxy does not answer', async () => {
    spine.router.openConnections = () => Promise.reject(new SlipwayError('unavailable', 'The proxy does not answer.'))
    await replaceWithOpen(0, 4000)
    await delay(600)
    expect(spine.runtime.names()).toEqual([v1, v2])
    await gone(v1)
  })

  it('is given its stop time to end by itself', async () => {
    const given: number[] = []
    const stop = spine.runtime.stop.bind(spine.runtime)
    spine.runtime.stop = (containerId, graceMs) => {
      given.push(graceMs)
      return stop(containerId, graceMs)
    }
    spine.config = { ...spine.config, stopMs: 4321 }
    await replaceWithOpen(0, 1000)
    await gone(v1)
    expect(given).toEqual([4321])
  })

  it('is not removed when it serves after all', async () => {
    await spine.log(await spine.push('test', commitOf('a')))
    const before = await spine.router.read()
    const [route] = await spine.db.query<{ deploy_id: number }>('select deploy_id from routes')
    await removeInstances(spine.tools, route?.deploy_id ?? 0)
    expect(spine.runtime.names()).toEqual([v1])
    expect(await spine.router.read()).toEqual(before)
  })
})

describe('a swap that is not known to have happened', () => {
  it.each([true, false])('leaves the traffic where it was (it took effect: %s)', async (takesEffect) => {
    await spine.log(await spine.deploy('live', commitOf('a')))
    const before = await spine.router.read()
    spine.router.failNext('swap', { takesEffect })
    expect((await spine.log(await spine.deploy('live', commitOf('b')))).at(-1)).toMatch(/status=failed$/)
    expect(await spine.router.read()).toEqual(before)
    expect(spine.runtime.names()).toEqual(['slw-spine-shop-v1-1'])
  })

  it('leaves nothing when nothing served before', async () => {
    spine.router.failNext('swap', { takesEffect: true })
    expect((await spine.log(await spine.deploy('live', commitOf('a')))).at(-1)).toMatch(/status=failed$/)
    const routes = await spine.router.read()
    expect([routes.hosts.size, routes.keys.size, routes.sets.size]).toEqual([0, 0, 0])
    expect(await spine.db.query('select 1 from addresses where instance_id is not null')).toEqual([])
  })
})

it('begins nothing before it was started: what ran before comes first', async () => {
  await spine.deploys.stop()
  const next = makeDeploys(spine.tools)
  await spine.push('test', commitOf('a'))
  next.wake()
  await delay(300)
  expect(await spine.db.query('select state from deploys')).toEqual([{ state: 'waiting' }])
  await next.stop()
})
