import { describe, expect, it } from '@jest/globals'
import { type OwnSlipway, withOwnSlipway } from '../support/own-slipway.ts'
import { type Clone, page, type Slipway } from '../support/slipway.ts'

/** Images that are taken again, a locked environment, and a site that is being worked on, all of it the real thing. */
describe('keeping on', () => {
  let slipway: Slipway
  let shop: Clone
  let run: OwnSlipway['run']
  let done: OwnSlipway['done']

  withOwnSlipway((own) => void ({ slipway, shop, run, done } = own))

  const body = async (host: string): Promise<string> => (await slipway.get(host)).body.trim()

  it('puts the image of test into live, builds when that is forced, and applies settings without a build', async () => {
    await shop.write(page('one'))
    expect((await shop.push('develop')).results).toMatchObject([{ environment: 'test', status: 'live' }])
    const plan = await done('deploy', 'live', '--plan')
    expect(plan).toMatch(
      /^\w{10} goes to live, which serves nothing yet\nImage: that of build 1 \(v1 of test\) is taken\n/,
    )
    const newest = await shop.git('log', '-1', '--format=%h  %s  (%an)', '--abbrev=10')
    expect(plan).toContain(`\nCommits that come:\n  ${newest.output.trim()}\n`)
    const live = await done('deploy', 'live')
    expect(live).toMatch(/Image of build 1 \(v1 of test, .* ago\) is taken: same commit and settings/)
    expect(live).not.toContain('Building')
    expect(await done('deploy', 'test', '--force-rebuild')).toMatch(/Building \w{10} without layer cache/)
    await shop.write(page('two'))
    await shop.push('develop')
    const again = await done('deploy', 'live', '--reuse-image')
    expect(again).toContain('nothing is built')
    expect([await body('shop.localhost'), await body('test--shop.localhost')]).toEqual(['one', 'two'])
  })

  it('holds a locked environment: by hand, by push, strictly; and goes on when it is unlocked', async () => {
    await done('envs', 'set', 'live', '--branch', 'develop', '--deploy-on-push')
    await done('lock', 'live', '--reason', 'the big sale')
    const refused = await run('deploy', 'live')
    expect(refused).toMatchObject({ code: 5, stderr: expect.stringMatching(/locked by .*: “the big sale”/) })
    await shop.write(page('three'))
    const push = await shop.push('develop')
    expect(push.results).toMatchObject([
      { environment: 'live', status: 'skipped' },
      { environment: 'test', status: 'live' },
    ])
    expect(push.output).toContain('the big sale')
    await shop.write(page('never'))
    const strict = await shop.push('develop', '-o', 'strict')
    expect(strict.output).toMatch(/remote rejected.*live of shop is locked by/)
    expect(await body('test--shop.localhost')).toBe('three')
    await shop.write(page('three'))
    expect(await body('shop.localhost')).toBe('one')
    await done('restart', 'live')
    await done('unlock', 'live')
    expect(await done('deploy', 'live')).toContain('is taken: same commit and settings')
    expect(await body('shop.localhost')).toBe('three')
  })

  it('shows a page while the site is being worked on, deploys behind it, and keeps it while Slipway is away', async () => {
    await done('maintenance', 'on', 'live', '--message', 'Back at <14:00>')
    await shop.write(page('four'))
    await shop.push('develop')
    await slipway.stop()
    const held = await slipway.get('shop.localhost')
    expect([held.status, held.body]).toEqual([503, 'Back at <14:00>\n'])
    await slipway.start()
    await done('maintenance', 'off', 'live')
    expect(await body('shop.localhost')).toBe('four')
  })
})
