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

  it.each(['stop', 'kill'] as const)(
    'is not gone back from when all that runs goes down with the engine: %s',
    async (how) => {
      for (const text of ['one', 'two']) {
        await clone.write(page(`${text} ${how}`, { 'slipway.yml': 'watch: 5m\nstop: 1s\n' }))
        expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
      }
      // Whoever comes meanwhile is told by the proxy that nothing answers.
      const over = new AbortController()
      const visits = visit(over.signal)
      await delay(2_000)
      await machine.engine[how]()
      // Longer than the proxy tries again.
      await delay(5_000)
      await machine.engine.start()
      await waitFor('the end to be known', 30_000, async () => {
        return (await slipway.sql(`select 1 from instances where state = 'serving' and end_count > 0`)).length === 1
      })
      await waitFor('it to serve again', 30_000, async () => {
        return (await slipway.get('test--shop.localhost')).body.trim() === `two ${how}`
      })
      await delay(8_000)
      over.abort()
      const statuses = await visits
      expect([statuses[0], statuses.at(-1)]).toEqual([200, 200])
      expect(statuses).toContain(503)
      expect(await slipway.sql(`select id from deploys where kind <> 'push' or state <> 'live'`)).toEqual([])
    },
  )

  /** Many at a time: those that nobody answers wait for seconds. */
  async function visit(signal: AbortSignal): Promise<number[]> {
    const visits: Promise<number>[] = []
    while (!signal.aborted) {
      visits.push(slipway.get('test--shop.localhost').then(({ status }) => status))
      await delay(50)
    }
    return Promise.all(visits)
  }
})
