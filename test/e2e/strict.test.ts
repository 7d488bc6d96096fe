import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { untilAllEnded, untilRetired } from '../support/crashes.ts'
import { listHoldings, listPushRemains } from '../support/holdings.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { visit } from '../support/visitor.ts'

/** Slipway ends itself, as by kill -9, at each point at which a strict push is decided. Its deploys, and its branch, go together or not at all. */
describe('Slipway killed at every point of a strict push', () => {
  let slipway: Slipway
  let clone: Clone

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway()
    await slipway.start()
    await slipway.api('POST', '/apps', { name: 'shop' })
    await slipway.api('PATCH', '/apps/shop/environments/live', { deployOnPush: true })
    clone = await makeClone(slipway, 'shop')
    await clone.write(page('one'))
    expect((await clone.push('main', '-o', 'strict')).results).toMatchObject([{ status: 'live' }, { status: 'live' }])
  })

  afterAll(async () => {
    await clone.remove()
    expect(await slipway.remove()).toEqual([])
  })

  const head = async (): Promise<string> =>
    (await clone.git('ls-remote', 'slipway', 'refs/heads/main')).output.slice(0, 40)
  const visitBoth = (good: readonly string[]) =>
    ['test--shop.localhost', 'shop.localhost'].map((host) => visit(slipway.port, host, good))
  const lastPush = async (): Promise<string | undefined> =>
    (await slipway.sql<{ state: string }>('select state from pushes order by id desc limit 1'))[0]?.state

  /** Pushes; Slipway dies at the first point, then at each of the others in a life of its own, and is started again. */
  async function pushAndDie([first, ...others]: readonly [string, ...string[]]): Promise<string> {
    await slipway.stop()
    await slipway.start({ SLIPWAY_FAULT_POINT: first })
    const { code, output } = await clone.push('main', '-o', 'strict')
    expect(code).not.toBe(0)
    expect(await slipway.ended()).toBe('SIGKILL')
    for (const point of others) {
      slipway.launch({ SLIPWAY_FAULT_POINT: point })
      const end = await slipway.ended()
      if (end !== 'SIGKILL') throw new Error(`it did not die at ${point} but ended with ${end}:\n${slipway.output()}`)
    }
    await slipway.start()
    await untilAllEnded(slipway)
    await waitFor('the push to be settled', 20_000, async () => (await lastPush()) !== 'strict')
    await untilRetired(slipway)
    return output
  }

  async function expectNothingHeld(): Promise<void> {
    expect(await slipway.sql('select 1 from ref_leases')).toEqual([])
    await waitFor('its commits to be let go', 30_000, async () => {
      const { output } = await clone.git(
        '--git-dir',
        `${slipway.dataDir}/repositories/shop.git`,
        'for-each-ref',
        'refs/slipway/pushes',
      )
      return output.trim() === ''
    })
    await waitFor('nothing of it to be left', 30_000, async () => (await listPushRemains(slipway)).length === 0)
  }

  it('goes live in both environments, and only then the branch moves', async () => {
    const before = await listHoldings(slipway)
    const old = await head()
    const visitors = visitBoth(['one', 'two'])
    await clone.write(page('two'))
    await pushAndDie(['push.strict.queued', 'deploy.passed', 'deploy.agreed', 'deploy.swap.moved', 'push.strict.ended'])
    const commit = (await clone.git('rev-parse', 'HEAD')).output.trim()
    expect([await lastPush(), await head()]).toEqual(['received', commit])
    expect(commit).not.toBe(old)
    for (const visitor of visitors) {
      expect(await visitor.stop()).toEqual([])
      expect(visitor.seen()['200 two']).toBeGreaterThan(0)
    }
    const after = await listHoldings(slipway)
    expect([after.containers.length, after.addresses]).toEqual([before.containers.length, before.addresses])
    await expectNothingHeld()
  }, 180_000)

  it('is settled once when it had moved the branch, or had written that down', async () => {
    await clone.write({ 'www/more.html': 'more\n' })
    await pushAndDie(['push.strict.moved', 'push.strict.closed'])
    expect([await lastPush(), await head()]).toEqual(['received', (await clone.git('rev-parse', 'HEAD')).output.trim()])
    const told = await slipway.sql(`select 1 from events where kind = 'push.received'`)
    expect(told).toHaveLength(3)
    await expectNothingHeld()
  }, 120_000)

  it('swaps nowhere and moves nothing when one of its deploys fails, and tells so', async () => {
    const before = await listHoldings(slipway)
    const old = await head()
    const visitors = visitBoth(['one', 'two'])
    const script = 'if [ $STAGE = live ]; then sleep 6; exit 7; fi; exec httpd -f -p 8080 -h /www'
    await clone.write({
      Dockerfile: `FROM slipway-test/busybox:1\nCOPY www /www\nEXPOSE 8080\nCMD ["/bin/sh", "-c", "${script}"]\n`,
      'www/index.html': 'three\n',
    })
    const cut = await pushAndDie(['deploy.passed', 'deploy.failed', 'push.strict.ended'])
    expect(cut).toContain('Should this connection end before that, see what became of it: slipway activity -a shop')
    expect([await lastPush(), await head()]).toEqual(['rejected', old])
    for (const visitor of visitors) expect(await visitor.stop()).toEqual([])
    const states = await slipway.sql<{ state: string }>('select state from deploys order by id desc limit 2')
    expect(states).toEqual([{ state: 'failed' }, { state: 'failed' }])
    expect(await listHoldings(slipway)).toMatchObject({ ...before, images: expect.any(Number) })
    await expectNothingHeld()
    const { body } = await slipway.api('GET', '/apps/shop/activity?kind=push')
    expect(JSON.stringify(body)).toMatch(/which was rejected: strict: .*deploy [0-9]+ to live: failed/)
    // Nothing stands in the way of the next.
    await clone.write(page('four'))
    expect((await clone.push('main', '-o', 'strict')).results).toMatchObject([{ status: 'live' }, { status: 'live' }])
  }, 180_000)
})
