import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from '@jest/globals'
import { dockerOf } from '../support/docker.ts'
import { root } from '../support/root.ts'
import { type OwnSlipway, withOwnSlipway } from '../support/own-slipway.ts'
import { type Clone, page, type Slipway, waitFor } from '../support/slipway.ts'
import { visit, type Visitor } from '../support/visitor.ts'

/** Breaks live, goes back, promotes what mends it; somebody looks at the site all the time. */
describe('going back and promoting', () => {
  let slipway: Slipway
  let shop: Clone
  let run: OwnSlipway['run']
  let done: OwnSlipway['done']
  let visitor: Visitor | null = null

  afterAll(async () => {
    await visitor?.stop()
  })
  withOwnSlipway((own) => void ({ slipway, shop, run, done } = own))

  const app = (text: string): Record<string, string> =>
    page(text, {
      'slipway.yml': `drain: 1s\nstop: 1s\nrelease:\n  - { label: migrations, run: "echo migrated by ${text}" }\n  - { label: seed, run: "echo seeded by ${text}", on: [deploy] }\n`,
    })
  const body = async (host: string): Promise<string> => (await slipway.get(host)).body.trim()
  const imageOf = async (environment: string): Promise<string[]> => {
    const filters = { label: [`slipway.installation=${slipway.installation}`, `slipway.environment=${environment}`] }
    return (await dockerOf().listContainers({ filters })).map((container) => container.ImageID)
  }
  /** The lines of the README about this, as they stand there. */
  const readme = async (verb: string): Promise<string[]> => {
    const text = await readFile(join(root, 'README.md'), 'utf8')
    const lines = text.match(new RegExp(`^slipway ${verb} .*$`, 'gm')) ?? []
    return lines.map((line) => line.replace(/ +#.*$/, '').replace(/^slipway /, ''))
  }

  it('promotes the very image to an environment that has nothing yet', async () => {
    await shop.write(app('one'))
    expect((await shop.push('develop')).results).toMatchObject([{ environment: 'test', status: 'live' }])
    const log = await done('promote', 'test', 'live')
    expect(log).toContain('which serves nothing yet')
    expect(log).toContain('Taking the image of test v1; nothing is built')
    expect(log).toContain('migrated by one')
    expect(log).not.toContain('seeded by one')
    expect(log).toMatch(/environment=live release=v1 status=live/)
    expect(await body('shop.localhost')).toBe('one')
    expect(await imageOf('live')).toEqual(await imageOf('test'))
    visitor = visit(slipway.port, 'shop.localhost', ['one', 'broken', 'mended'])
  })

  it('goes back from what is broken, by the lines of the README, and holds pushes from then on', async () => {
    await done('vars', 'set', 'GREETING=hello', '-e', 'live')
    await done('envs', 'set', 'live', '--branch', 'develop', '--deploy-on-push')
    await shop.write(app('broken'))
    await shop.commit('Break the shop')
    expect((await shop.push('develop')).results).toMatchObject([{ status: 'live' }, { status: 'live' }])
    expect(await body('shop.localhost')).toBe('broken')

    const [planned = '', back = ''] = await readme('rollback')
    const plan = await done(...planned.split(' '))
    expect(plan).toMatch(/^live goes back from v2 to v1\n/)
    expect(plan).toMatch(/Commits that go:\n(?: {2}\w{10} .*\n)* {2}\w{10} {2}Break the shop {2}\(Ada\)/)
    expect(plan).toContain('removed: GREETING')
    expect(plan).toContain(
      'Release commands have run since v1, and what they did to the data stays done: migrations (v2), seed (v2)',
    )
    expect(await body('shop.localhost')).toBe('broken')

    const log = await done(...back.split(' '))
    expect(log).toMatch(/environment=live release=v3 status=live/)
    expect(log).not.toMatch(/Building|Running/)
    expect(await body('shop.localhost')).toBe('one')
    expect(await done('status', 'live')).toMatch(/held/)
    expect((await run('deploys', 'list', 'live', '--json')).stdout).toMatch(/"kind": "rollback"/)

    await shop.write(app('mended'))
    const push = await shop.push('develop')
    expect(push.results).toMatchObject([
      { environment: 'live', status: 'skipped' },
      { environment: 'test', status: 'live' },
    ])
    expect(push.output).toContain('live follows it, but is held: this push is not deployed there')
    expect(await body('shop.localhost')).toBe('one')
  })

  it('promotes what mends it, by the lines of the README, and ends the hold', async () => {
    const [planned = '', promote = ''] = await readme('promote')
    const plan = await done(...planned.split(' '))
    expect(plan).toMatch(/^test v3 \(\w{10}\) goes to live, which serves v3\n/)
    expect(plan).toContain('added: GREETING')
    expect(plan).toContain('Release commands: migrations\n')
    expect(plan).toContain('Pushes to live are held; after this they are deployed again.')
    expect(await body('shop.localhost')).toBe('one')
    expect(await done(...promote.split(' '))).toMatch(/environment=live release=v4 status=live/)
    expect(await body('shop.localhost')).toBe('mended')
    expect(await imageOf('live')).toEqual(expect.arrayContaining(await imageOf('test')))
    expect(await done('status', 'live')).not.toMatch(/held/)
    const printed = await done('logs', 'live', '--process', 'release.migrations')
    expect(printed).toMatch(/^.* v4 release\.migrations \| migrated by mended$/m)
    expect(printed).not.toContain('seeded')
  })

  it('goes back all the same when Slipway is killed in between, and makes one release', async () => {
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
    expect(made).toEqual([1, 2, 3, 4, 5].map((number) => ({ number })))
  })

  it('refuses, before anything is asked for, to go back to an image that somebody removed by hand', async () => {
    const [built] = await slipway.sql<{ digest: string }>(
      `select image ->> 'digest' as digest from builds order by id limit 1`,
    )
    const before = await slipway.sql('select 1 from deploys')
    await visitor?.stop()
    const image = dockerOf().getImage(built?.digest ?? '')
    const removed = (): Promise<boolean> =>
      image.remove({ force: true }).then(
        () => true,
        () => false,
      )
    await waitFor('its last containers to go', 30_000, removed)
    const refused = await run('rollback', 'live')
    expect([refused.code, refused.stdout]).toEqual([5, ''])
    expect(refused.stderr).toContain('The image of v1 is gone: somebody removed it from the engine.')
    expect(refused.stderr).toContain('slipway releases rebuild v1 live -a shop')
    expect(await slipway.sql('select 1 from deploys')).toHaveLength(before.length)
    expect((await run('promote', 'live', 'live')).code).toBe(2)
    expect((await run('rollback', 'live', 'v99')).code).toBe(4)
  })

  it('has failed no request of whoever looked at the site', () => {
    expect(visitor?.refused()).toEqual([])
    expect(visitor?.seen()).toMatchObject({
      '200 one': expect.any(Number),
      '200 broken': expect.any(Number),
      '200 mended': expect.any(Number),
    })
  })
})
