import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { newestDeploy, readLog, untilAllEnded, untilRetired } from '../support/crashes.ts'
import { makeOwnMachine, type OwnMachine } from '../support/own-machine.ts'
import type { SlowSocket } from '../support/slow-socket.ts'
import { type Clone, makeClone, page, type Slipway, waitFor } from '../support/slipway.ts'
import { visit } from '../support/visitor.ts'

/** Slipway with an engine of the test's own, which is slow, breaks connections, is restarted, and has a small disk. */
describe('an engine that', () => {
  let machine: OwnMachine
  let slipway: Slipway
  let clone: Clone
  let way: SlowSocket

  beforeAll(async () => {
    // The floors have tests of their own: here the disk is to run full in the middle.
    machine = await makeOwnMachine({ SLIPWAY_DISK_FLOOR_MB: '1' }, { slow: true, diskMb: 96 })
    slipway = machine.slipway
    way = machine.way as SlowSocket
    await slipway.start()
    clone = await makeClone(slipway, 'shop')
    await clone.write(page('one'))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
  })

  afterAll(async () => {
    await clone.remove()
    expect(await machine.remove()).toEqual([])
  })

  const said = async (): Promise<string[]> =>
    (await readLog(slipway, (await newestDeploy(slipway)).id)).map(({ text }) => text)
  const untilSaid = (text: string): Promise<void> =>
    waitFor(`“${text}” in the log`, 30_000, async () => (await said()).includes(text))

  it('takes 300 ms longer for every piece of an answer makes deploys slow, and fails none', async () => {
    const visitor = visit(slipway.port, 'test--shop.localhost', ['one', 'two'])
    way.delay(300)
    try {
      await clone.write(
        page('two', { 'slipway.yml': 'drain: 2s\nstop: 1s\nrelease: [{ label: migrate, run: "echo migrated" }]\n' }),
      )
      expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    } finally {
      way.delay(0)
    }
    expect((await said()).filter((text) => text === 'migrated')).toHaveLength(1)
    await untilRetired(slipway)
    expect(await visitor.stop()).toEqual([])
  })

  it('cuts the connection of a build fails that deploy in words; the next goes live', async () => {
    const visitor = visit(slipway.port, 'test--shop.localhost', ['two', 'three'])
    await clone.write(page('three', { Dockerfile: `${page('')['Dockerfile']}RUN echo begun; sleep 20\n` }))
    await clone.push('develop', '-o', 'nowait')
    await untilSaid('begun')
    way.cut()
    await untilAllEnded(slipway)
    expect((await newestDeploy(slipway)).state).toBe('failed')
    expect((await said()).join('\n')).toMatch(/Docker engine/)
    await clone.write(page('three'))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    await untilRetired(slipway)
    expect(await visitor.stop()).toEqual([])
  })

  it.each(['SIGKILL', 'SIGTERM'])('is ended by %s in a release command loses neither it nor its output', async (by) => {
    const visitor = visit(slipway.port, 'test--shop.localhost', ['three'])
    const talk = 'cat /proc/sys/kernel/random/uuid; for i in 1 2 3 4 5 6 7 8; do echo at $i; sleep 0.5; done'
    await clone.write(
      page('three', {
        'www/by': `${by}\n`,
        'slipway.yml': `drain: 2s\nstop: 1s\nrelease: [{ label: migrate, run: "${talk}" }]\n`,
      }),
    )
    await clone.push('develop', '-o', 'nowait')
    await untilSaid('at 2')
    await (by === 'SIGKILL' ? machine.engine.kill() : machine.engine.stop())
    await new Promise((done) => setTimeout(done, 500))
    await machine.engine.start()
    await untilAllEnded(slipway)
    expect((await newestDeploy(slipway)).state).toBe('live')
    const lines = await said()
    expect(lines.filter((text) => text.startsWith('at '))).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((i) => `at ${i}`))
    expect(lines.filter((text) => /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(text))).toHaveLength(1)
    await untilRetired(slipway)
    expect(await visitor.stop()).toEqual([])
  })

  it('runs out of disk in a build fails that deploy in words; what served serves, and the next deploy goes live', async () => {
    const visitor = visit(slipway.port, 'test--shop.localhost', ['three', 'four'])
    const fill = 'RUN dd if=/dev/zero of=/big bs=1M count=200\n'
    await clone.write(page('four', { Dockerfile: `${page('')['Dockerfile']}${fill}` }))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'failed' }])
    expect((await said()).join('\n')).toMatch(/no (?:space|room)|disk is full|too little room/i)
    await clone.write(page('four'))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    expect(await visitor.stop()).toEqual([])
  })
})
