import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { dockerOf } from '../support/docker.ts'
import { type OwnSlipway, withOwnSlipway } from '../support/own-slipway.ts'
import { openReadme, type ReadmeLines } from '../support/readme.ts'
import { machineLines, page, waitFor } from '../support/slipway.ts'
import { visit, type Visitor } from '../support/visitor.ts'

/**
 * The README's chapter on releases, each of its lines run as it stands there: live is broken, gone back from, mended by a promotion, … Somebody
 * looks at the site all the time.
 */
describe('releases, by the lines of the README', () => {
  let own: OwnSlipway
  let readme: ReadmeLines
  let visitor: Visitor | null = null

  withOwnSlipway((made) => void (own = made), { SLIPWAY_RELEASE_IDLE_MINUTES: '0.1', SLIPWAY_BUILD_PULL: 'missing' })
  beforeAll(async () => {
    readme = await openReadme(['Releases', 'When a value leaked'], own)
    await own.shop.git('checkout', '-q', '-b', 'develop')
    await own.shop.git('remote', 'add', 'divio', `${own.slipway.controlUrl}/shop.git`)
  })
  afterAll(async () => {
    await visitor?.stop()
  })

  const app = (text: string): Record<string, string> =>
    page(text, {
      'slipway.yml': `drain: 1s\nstop: 1s\nrelease:\n  - { label: migrations, run: "echo migrated by ${text}" }\n  - { label: seed, run: "echo seeded by ${text}", on: [deploy] }\n`,
    })
  const commit = async (text: string, message: string): Promise<void> => {
    await own.shop.write(app(text))
    await own.shop.commit(message)
  }
  /** Runs a line of the README, and returns all that it prints. */
  const line = async (text: string): Promise<string> => {
    const { code, stdout, stderr } = await readme.run(text)
    expect({ text, code, stderr: code === 0 ? '' : stderr }).toEqual({ text, code: 0, stderr: '' })
    return stdout + stderr
  }
  const body = async (host: string): Promise<string> => (await own.slipway.get(host)).body.trim()
  const imageOf = async (environment: string): Promise<string[]> => {
    const filters = {
      label: [`slipway.installation=${own.slipway.installation}`, `slipway.environment=${environment}`],
    }
    return (await dockerOf().listContainers({ filters })).map((container) => container.ImageID)
  }

  it('promotes the very image to an environment that has nothing yet', async () => {
    await commit('one', 'Open the shop')
    expect(machineLines(await line('git push divio develop'))).toMatchObject([{ environment: 'test', status: 'live' }])
    expect(await line('slipway deploy live --plan')).toMatch(/which serves nothing yet[^]*Open the shop/)
    const log = await line('slipway promote test live')
    expect(log).toMatch(/which serves nothing yet\n\nCommits that come:\n {2}\w{10} {2}Open the shop {2}\(/)
    expect(log).toContain('Taking the image of test v1; nothing is built')
    expect(log).toContain('migrated by one')
    expect(log).not.toContain('seeded by one')
    expect(log).toMatch(/environment=live release=v1 status=live/)
    expect(await body('shop.localhost')).toBe('one')
    expect(await imageOf('live')).toEqual(await imageOf('test'))
    visitor = visit(own.slipway.port, 'shop.localhost', ['one', 'broken', 'mended'])
  })

  it('breaks live, and says what differs', async () => {
    await own.done('vars', 'set', 'GREETING=hello', 'STRIPE_KEY=first-key', '-e', 'live')
    await commit('broken', 'Break the shop')
    expect(machineLines(await line('git push -o env=live divio develop'))).toMatchObject([
      { environment: 'live', release: 'v2', status: 'live' },
    ])
    expect(await body('shop.localhost')).toBe('broken')
    expect(await line('slipway releases list live')).toMatch(
      /\nv2 +serves +kept .*\nv1 +has served +kept .* promotion of test v1 /,
    )
    expect(await line('slipway releases show v2 live')).toMatch(/Variables +GREETING, STRIPE_KEY\n/)
    const differs = await line('slipway releases diff v1 v2 live')
    expect(differs).toMatch(/Break the shop {2}\(Ada\)[^]*added: GREETING, STRIPE_KEY/)
    expect(await line('slipway releases pin v1 live')).toContain('is kept however old it gets')
    expect(await line('slipway releases unpin v1 live')).toContain('not pinned any more')
  })

  it('goes back, and holds pushes from then on', async () => {
    await own.done('envs', 'set', 'live', '--branch', 'develop', '--deploy-on-push')
    const plan = await line('slipway rollback live --plan')
    expect(plan).toMatch(/^live goes back from v2 to v1\n/)
    expect(plan).toMatch(/Commits that go:\n {2}\w{10} {2}Break the shop {2}\(Ada\)\n/)
    expect(plan).toContain('removed: GREETING, STRIPE_KEY')
    expect(plan).toContain(
      'Release commands have run since v1, and what they did to the data stays done: migrations (v2), seed (v2)',
    )
    expect(await body('shop.localhost')).toBe('broken')
    const log = await line('slipway rollback live')
    expect(log).toMatch(/environment=live release=v3 status=live/)
    expect(log).not.toMatch(/Building|Running/)
    expect(await body('shop.localhost')).toBe('one')
    expect(await own.done('status', 'live')).toMatch(/held/)

    await commit('mended', 'Mend the shop')
    const pushed = await line('git push divio develop')
    expect(machineLines(pushed)).toMatchObject([
      { environment: 'live', status: 'skipped' },
      { environment: 'test', status: 'live' },
    ])
    expect(pushed).toContain('live follows it, but is held: this push is not deployed there')
    expect(await body('shop.localhost')).toBe('one')
  })

  it('promotes what mends it, which ends the hold', async () => {
    const plan = await line('slipway promote test live --plan')
    expect(plan).toMatch(/^test v2 \(\w{10}\) goes to live, which serves v3\n/)
    expect(plan).toContain('added: GREETING, STRIPE_KEY')
    expect(plan).toContain('Release commands: migrations\n')
    expect(plan).toContain('Pushes to live are held; after this they are deployed again.')
    expect(await body('shop.localhost')).toBe('one')
    expect(await line('slipway promote test live')).toMatch(/environment=live release=v4 status=live/)
    expect(await body('shop.localhost')).toBe('mended')
    expect(await imageOf('live')).toEqual(expect.arrayContaining(await imageOf('test')))
    expect(await own.done('status', 'live')).not.toMatch(/held/)
    const printed = await own.done('logs', 'live', '--process', 'release.migrations')
    expect(printed).toMatch(/^.* v4 release\.migrations \| migrated by mended$/m)
    expect(printed).not.toContain('seeded')
    expect(await line('slipway releases diff live:v1 test:v2')).toMatch(
      /^From v1 of live to v2 of test\n[^]*Mend the shop/,
    )
  })

  it('shows an old release at its address, and makes one anew', async () => {
    const address = 'curl -i http://v1--test--shop.localhost:8080/'
    expect(await line(address)).toMatch(/^HTTP\/1\.1 503 [^]*retry-after: 2\r\n[^]*v1 is (?:being stopped|starting)\./i)
    await waitFor('v1 to answer', 60_000, async () => (await line(address)).startsWith('HTTP/1.1 200'))
    expect(await line(address)).toMatch(/x-slipway-release: v1\r\n[^]*\r\n\r\none\n/i)
    expect(await line('slipway releases rebuild v1 test')).toMatch(/Building [^]*release=v3 status=live/)
    expect(await body('test--shop.localhost')).toBe('one')
    expect(await own.done('releases', 'list', 'test')).toMatch(/^v3 +serves .* rebuild of v1 /m)
  })

  it('builds anew, takes the image that serves, and goes back to the release that is named', async () => {
    expect(await line('slipway deploy test --force-rebuild')).toMatch(/Building [^]*release=v4 status=live/)
    const reused = await line('slipway deploy live --reuse-image')
    expect(reused).toMatch(/nothing is built[^]*release=v5 status=live/)
    expect(await line('slipway rollback live v1')).toMatch(/goes back from v5 to v1[^]*release=v6 status=live/)
    expect(await body('shop.localhost')).toBe('one')
  })

  it('is locked, lets deploys wait, and goes on when it is unlocked', async () => {
    await line('slipway lock live --reason "the big sale, until Monday"')
    const refused = await own.run('deploy', 'live')
    expect([refused.code, refused.stderr]).toEqual([5, expect.stringContaining('the big sale, until Monday')])
    await line('slipway unlock live')
    await line('slipway lock live --reason "moving the database" --wait')
    expect(await own.done('deploy', 'live', '--no-wait')).toContain('In line.')
    expect(await own.done('status', 'live')).toContain('moving the database')
    await line('slipway unlock live')
    await waitFor('what waited to be live', 60_000, async () => (await body('shop.localhost')) === 'mended')
  })

  it('goes back all the same when Slipway is killed in between, and makes one release', async () => {
    const { slipway } = own
    await waitFor(
      'live to be at rest',
      30_000,
      async () => (await slipway.sql(`select 1 from deploys where finished_at is null`)).length === 0,
    )
    await slipway.stop()
    await slipway.start({ SLIPWAY_FAULT_POINT: 'deploy.build.done' })
    // The answer may come before the end, or not at all.
    const asked = slipway.api('POST', '/apps/shop/environments/live/rollbacks', { release: 'v2', hold: false })
    await asked.catch(() => undefined)
    expect(await slipway.ended()).toBe('SIGKILL')
    await slipway.start()
    await waitFor('v2 to be back', 30_000, async () => (await body('shop.localhost')) === 'broken')
    const made = await slipway.sql(
      `select r.number from releases r join environments e on e.id = r.environment_id where e.live order by 1`,
    )
    expect(made).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((number) => ({ number })))
  })

  it('has failed no request of whoever looked at the site', async () => {
    expect(visitor?.refused()).toEqual([])
    expect(visitor?.seen()).toMatchObject({
      '200 one': expect.any(Number),
      '200 broken': expect.any(Number),
      '200 mended': expect.any(Number),
    })
    await visitor?.stop()
  })

  it('has a page while it is worked on', async () => {
    await line('slipway maintenance on live --message "Back at 14:00"')
    const seen = await own.slipway.get('shop.localhost')
    expect([seen.status, seen.body]).toEqual([503, expect.stringContaining('Back at 14:00')])
    expect(await line('slipway maintenance on live --allow 203.0.113.7')).toContain('203.0.113.7')
    expect((await own.slipway.get('shop.localhost')).status).toBe(503)
    await line('slipway maintenance off live')
    expect(await body('shop.localhost')).toBe('broken')
  })

  it('is rid of a value that leaked, and says until when it still runs with it', async () => {
    await own.done('vars', 'set', 'STRIPE_KEY=second-key', '-e', 'live')
    await writeFile(join(own.shop.dir, 'new-key.txt'), 'third-key\n')
    const old = await line('slipway vars revoke -e live STRIPE_KEY --of v2 --remove')
    expect(old).toContain('live still runs with the old value (v8). Start it anew: slipway restart live -a shop')
    await line('slipway vars revoke -e live STRIPE_KEY < new-key.txt')
    expect(await own.done('vars', 'get', 'STRIPE_KEY', '-e', 'live')).toBe('third-key')
    const still = /Still runs with a value that was revoked at .*: slipway restart live -a shop/
    expect(await own.done('status', 'live')).toMatch(still)
    await own.done('restart', 'live')
    expect(await own.done('status', 'live')).not.toMatch(still)
  })

  it('refuses, before anything is asked for, to go back to an image that somebody removed by hand', async () => {
    const { slipway, run } = own
    const [built] = await slipway.sql<{ digest: string }>(
      `select image ->> 'digest' as digest from builds order by id limit 1`,
    )
    const before = await slipway.sql('select 1 from deploys')
    const image = dockerOf().getImage(built?.digest ?? '')
    const removed = (): Promise<boolean> =>
      image.remove({ force: true }).then(
        () => true,
        () => false,
      )
    await waitFor('its last containers to go', 60_000, removed)
    const refused = await run('rollback', 'live', 'v1')
    expect([refused.code, refused.stdout]).toEqual([5, ''])
    expect(refused.stderr).toContain('The image of v1 is gone: somebody removed it from the engine.')
    expect(refused.stderr).toContain('slipway releases rebuild v1 live -a shop')
    expect(await slipway.sql('select 1 from deploys')).toHaveLength(before.length)
    expect((await run('promote', 'live', 'live')).code).toBe(2)
    expect((await run('rollback', 'live', 'v99')).code).toBe(4)
  })

  it('has no line that was not run', () => {
    expect(readme.left()).toEqual([])
  })
})
