import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { setTimeout as delay } from 'node:timers/promises'
import { makeOwnMachine, type OwnMachine } from '../support/own-machine.ts'
import { type Clone, makeClone, page, type Slipway, waitFor } from '../support/slipway.ts'

/** An engine that somebody set up without live-restore ends all containers with itself, and starts them again. */
describe('what is watched', () => {
  let machine: OwnMachine
  let slipway: Slipway
  let clone: Clone

  beforeAll(async () => {
    machine = await makeOwnMachine({}, { liveRestore: false })
    slipway = machine.slipway
    await slipway.start()
    clone = await makeClone(slipway, 'shop')
  })

  afterAll(async () => {
    await clone.remove()
    expect(await machine.remove()).toEqual([])
  })

  it('is not gone back from when the engine goes down with all that runs', async () => {
    for (const text of ['one', 'two']) {
      await clone.write(page(text, { 'slipway.yml': 'watch: 5m\nstop: 1s\n' }))
      expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    }
    await machine.engine.stop()
    await machine.engine.start()
    await waitFor('the end to be known', 30_000, async () => {
      return (await slipway.sql(`select 1 from instances where state = 'serving' and end_count > 0`)).length === 1
    })
    await waitFor('it to serve again', 30_000, async () => {
      return (await slipway.get('test--shop.localhost')).body.trim() === 'two'
    })
    await delay(3_000)
    expect(await slipway.sql('select kind, state from deploys order by id')).toEqual([
      { kind: 'push', state: 'live' },
      { kind: 'push', state: 'live' },
    ])
  })
})
