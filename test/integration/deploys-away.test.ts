import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine

beforeEach(async () => {
  spine = await makeSpine()
})
afterEach(() => spine.close())

describe('an engine that is away', () => {
  it('removes later what a deploy that failed could not remove, with its address', async () => {
    // The engine goes away in the middle of the checks: nothing of the deploy can be removed then.
    spine.config = { ...spine.config, port: 1, health: { ...spine.config.health, deadlineMs: 300 } }
    const id = await spine.push('test', commitOf('a'))
    await eventually(() => expect(spine.runtime.names()).toHaveLength(1))
    spine.runtime.setAway(true)
    expect((await spine.log(id)).at(-1)).toMatch(/status=failed$/)
    spine.runtime.setAway(false)
    expect(spine.runtime.names()).toHaveLength(1)
    await eventually(() => expect(spine.runtime.names()).toEqual([]))
    await eventually(async () => {
      expect(await spine.db.query('select 1 from addresses where instance_id is not null')).toEqual([])
    })
  })

  it('takes a retirement up again that the engine’s absence had interrupted', async () => {
    // Of the first: what drains has its own.
    spine.config = { ...spine.config, drainMs: 20_000 }
    await spine.log(await spine.push('test', commitOf('a')))
    const held = { address: await addressOf('serving'), port: spine.config.port as number }
    spine.router.setOpenConnections(held, 1)
    await spine.log(await spine.push('test', commitOf('b')))
    spine.runtime.setAway(true)
    spine.router.setOpenConnections(held, 0)
    await new Promise((done) => setTimeout(done, 600))
    expect(await addressOf('draining')).toBe(held.address)
    spine.runtime.setAway(false)
    await eventually(() => expect(spine.runtime.names()).toEqual(['slw-spine-test--shop-v2-1']))
  })
})

describe('an instance that dies', () => {
  it('takes the route of its own release only: not from one that has come after it', async () => {
    await spine.log(await spine.push('test', commitOf('a')))
    const [first] = await spine.runtime.list()
    // It dies in the moment in which the next release takes over.
    const swap = spine.router.swap.bind(spine.router)
    spine.router.swap = async (key, to) => {
      if (key.startsWith('e') && 'set' in to) spine.runtime.end(first?.containerId ?? '')
      spine.router.swap = swap
      await swap(key, to)
    }
    const id = await spine.push('test', commitOf('b'))
    expect((await spine.log(id)).at(-1)).toMatch(/status=live$/)
    await new Promise((done) => setTimeout(done, 200))
    const { keys } = await spine.router.read()
    expect([...keys.values()].filter((to) => 'state' in to)).toEqual([])
  })
})

async function addressOf(state: 'serving' | 'draining'): Promise<string> {
  const rows = await spine.db.query<{ address: string }>(
    'select host(a.address) as address from addresses a join instances i on i.id = a.instance_id where i.state = $1',
    [state],
  )
  return rows[0]?.address ?? ''
}

async function eventually(assertion: () => void | Promise<void>): Promise<void> {
  const end = Date.now() + 30_000
  for (;;) {
    try {
      return await assertion()
    } catch (error) {
      if (Date.now() > end) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}
