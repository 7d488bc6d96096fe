import { beforeAll, describe, expect, it } from '@jest/globals'
import { withOwnSlipway } from '../support/own-slipway.ts'
import { type Answer, type Clone, page, type Slipway, waitFor } from '../support/slipway.ts'
import { type Cli } from '../support/slipway-cli.ts'

/** Old releases at their own addresses: woken by whoever asks, and put to sleep when nobody does. */
describe('the address of an old release', () => {
  let slipway: Slipway
  let shop: Clone
  let cli: Cli
  const v = (number: number): string => `v${number}--test--shop.localhost`
  const html = { headers: { Accept: 'text/html,*/*' } }
  const push = async (text: string): Promise<void> => {
    await shop.write({ ...page(text), 'slipway.yml': 'drain: 1s\nstop: 1s\n' })
    expect((await shop.push('develop')).results).toMatchObject([{ status: 'live' }])
  }
  const running = async (number: number): Promise<string[]> => {
    const rows = await slipway.sql<{ state: string }>(
      `select i.state from instances i join releases r on r.id = i.release_id where r.number = $1 and i.state <> 'retired'`,
      [number],
    )
    return rows.map(({ state }) => state)
  }
  const untilAsleep = (number: number): Promise<unknown> =>
    waitFor(`v${number} to sleep`, 60_000, async () => (await running(number)).length === 0)
  const untilAwake = (number: number): Promise<unknown> =>
    waitFor(`v${number} to be awake`, 60_000, async () => (await slipway.get(v(number))).status === 200)

  withOwnSlipway((own) => void ({ slipway, cli, shop } = own), {
    SLIPWAY_BUILD_PULL: 'missing',
    SLIPWAY_RELEASE_IDLE_MINUTES: '0.1',
  })
  beforeAll(async () => {
    await push('one')
    await push('two')
    await untilAsleep(1)
  })

  it('starts it: browsers get a page that waits, others 503 with Retry-After; then it answers and says which one it is', async () => {
    const waiting = await slipway.get(v(1), '/a', html)
    expect([waiting.status, waiting.headers['retry-after']]).toEqual([503, '2'])
    expect(waiting.headers['content-type']).toMatch(/^text\/html/)
    expect(waiting.body).toContain('<meta http-equiv="refresh" content="2">')
    const plain = await slipway.get(v(1))
    if (plain.status === 503)
      expect([plain.headers['retry-after'], plain.body]).toEqual(['2', expect.stringContaining('v1 is starting.')])
    await untilAwake(1)
    const answer = await slipway.get(v(1))
    expect([answer.body, answer.headers['x-slipway-release']]).toEqual(['one\n', 'v1'])
    expect((await slipway.get('test--shop.localhost')).body).toBe('two\n')
  })

  it('ends when nobody has used it for a while, and not before', async () => {
    await untilAwake(1)
    for (let i = 0; i < 9; i += 1) {
      expect((await slipway.get(v(1))).body).toBe('one\n')
      await new Promise((done) => setTimeout(done, 1_000))
    }
    await untilAsleep(1)
    expect((await slipway.get(v(1))).status).toBe(503)
    await untilAwake(1)
  })

  it('stays awake over a kill of Slipway, and what was just being woken is cleared away', async () => {
    await untilAwake(1)
    await slipway.stop('SIGKILL')
    expect((await slipway.get(v(1))).body).toBe('one\n')
    await slipway.start()
    expect((await slipway.get(v(1))).body).toBe('one\n')
    await untilAsleep(1)
    for (const point of ['wake.recorded', 'wake.started', 'wake.checked']) {
      await slipway.stop()
      await slipway.start({ SLIPWAY_FAULT_POINT: point })
      expect((await slipway.get(v(1))).status).toBe(503)
      expect(await slipway.ended()).toBe('SIGKILL')
      expect((await slipway.get('test--shop.localhost')).body).toBe('two\n')
      expect(await running(1)).toEqual(['waking'])
      await slipway.start()
      await untilAsleep(1)
    }
    await untilAwake(1)
  })

  it('is the same for strangers whether there is such a release or not', async () => {
    await untilAsleep(1)
    const change = { setUser: { name: 'anna', password: 'a long secret' } }
    expect((await slipway.api('PATCH', '/apps/shop/environments/test/protection', change)).status).toBe(200)
    const seen = ({ status, headers, body }: Answer): string =>
      JSON.stringify([status, { ...headers, date: '' }, body]).replace(/realm=\\"[^"]*"/, 'realm')
    const [asleep, runs, never] = await Promise.all([1, 2, 99].map((number) => slipway.get(v(number), '/', html)))
    expect(asleep?.status).toBe(401)
    expect(new Set([asleep, runs, never].map((answer) => seen(answer as Answer))).size).toBe(1)
    expect(await running(1)).toEqual([])
    const basic = { headers: { Authorization: `Basic ${Buffer.from('anna:a long secret').toString('base64')}` } }
    const known = await Promise.all([1, 2, 99].map((number) => slipway.get(v(number), '/', basic)))
    expect(known.map(({ status }) => status)).toEqual([503, 200, 404])
    await slipway.api('PATCH', '/apps/shop/environments/test/protection', { open: true })
  })

  it('says what it was when its image is gone, and links what was made of it anew', async () => {
    // The test before has asked for it: it may be about to be woken.
    await untilAwake(1)
    await untilAsleep(1)
    const [build] = await slipway.sql<{ commit: string }>(
      `update builds set image_removed_at = now() where number = 1 returning commit`,
    )
    const gone = await slipway.get(v(1), '/', html)
    expect(gone.status).toBe(410)
    expect(gone.body).toContain(build?.commit.slice(0, 10))
    expect(gone.body).toContain(new Date().toISOString().slice(0, 10))
    expect(gone.body).toContain('slipway releases rebuild v1 test -a shop')
    const rebuilt = await cli.run(['releases', 'rebuild', 'v1', '-e', 'test', '-a', 'shop'])
    expect([rebuilt.code, rebuilt.stdout]).toEqual([0, expect.stringContaining('v1 is made anew: its commit')])
    expect((await slipway.get('test--shop.localhost')).body).toBe('one\n')
    expect((await slipway.get(v(1), '/', html)).body).toContain(
      `<a href="http://${v(3)}:${slipway.port}">It was made anew as v3</a>`,
    )
    expect((await slipway.get(v(3))).body).toBe('one\n')
  })
})
