import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from '@jest/globals'
import { withOwnSlipway } from '../support/own-slipway.ts'
import { type Clone, makeClone, page, type Slipway } from '../support/slipway.ts'
import { type Cli } from '../support/slipway-cli.ts'

const failsInLive =
  'FROM slipway-test/busybox:1\nCOPY www /www\nCMD [ "$STAGE" = live ] && exit 3; exec httpd -f -p $PORT -h /www\n'

/** Which environments a push reaches, and what its branches may do. */
describe('branches and environments', () => {
  let slipway: Slipway
  let shop: Clone
  let cli: Cli

  withOwnSlipway((own) => void ({ slipway, cli, shop } = own))
  beforeAll(async () => {
    await shop.write(page('one'))
    expect((await shop.push('develop')).results).toMatchObject([{ environment: 'test', status: 'live' }])
  })

  const bodyOf = async (host: string): Promise<string> => (await slipway.get(`${host}.localhost`)).body
  const slipwayCli = async (...args: string[]): Promise<string> => {
    const env = { SLIPWAY_URL: slipway.controlUrl, SLIPWAY_TOKEN: slipway.token }
    const { code, stdout, stderr } = await cli.run(args, { env })
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
    return stdout
  }

  it('a strict push moves its branch when all environments are live, and nobody swaps when one cannot', async () => {
    const strict = await makeClone(slipway, 'strict')
    const serves = async (): Promise<string[]> => Promise.all([bodyOf('test--strict'), bodyOf('strict')])
    const remoteHead = async (): Promise<string> =>
      (await strict.git('ls-remote', 'slipway', 'refs/heads/main')).output.trim()
    await strict.write(page('one'))
    await strict.push('main')
    await slipwayCli('envs', 'set', 'live', '--deploy-on-push', '-a', 'strict')
    await strict.write({ 'www/index.html': 'two\n' })
    const accepted = await strict.push('main', '-o', 'strict')
    expect(accepted.results).toMatchObject([{ status: 'live' }, { status: 'live' }])
    expect([accepted.code, await serves()]).toEqual([0, ['two\n', 'two\n']])
    const before = await remoteHead()

    // Where STAGE is live, the app ends.
    await strict.write({ 'www/index.html': 'three\n', Dockerfile: failsInLive })
    const rejected = await strict.push('main', '-o', 'strict')
    expect(rejected.output).toMatch(/! \[remote rejected\] HEAD -> main \(strict: deploy \d+ to test: failed/)
    expect(rejected.output).toContain('The deploy to live of the same strict push did not go live')
    expect(rejected.results).toMatchObject([{ status: 'failed' }, { status: 'failed' }])
    expect([rejected.code, await serves(), await remoteHead()]).toEqual([1, ['two\n', 'two\n'], before])
    await strict.remove()
  })

  it('the push options nowait, skip-deploy and env do what they say, and no other is taken', async () => {
    await shop.write({ 'www/index.html': 'skipped\n' })
    const skipped = await shop.push('develop', '-o', 'skip-deploy')
    expect(skipped.results).toEqual([{ deploy: '-', environment: 'test', release: '-', status: 'skipped' }])
    expect(skipped.output).toMatch(/Not deployed to test, as asked. Later: slipway deploy test --commit [0-9a-f]{10}\b/)
    expect(await bodyOf('test--shop')).toBe('one\n')

    for (const [option, told] of [
      ['now', 'There is no push option “now”'],
      ['env=nowhere', 'shop has no environment “nowhere”; it has: test, live'],
      ['env=Test', 'cannot be the name of an environment'],
      ['env=', 'cannot be the name of an environment'],
    ] as const) {
      const refused = await shop.push('develop', '-o', option)
      expect(refused.code).toBe(1)
      expect(refused.output).toContain(told)
      expect(refused.results).toEqual([])
    }

    await shop.write({ 'www/index.html': 'live by hand\n' })
    const toLive = await shop.push('develop', '-o', 'env=live')
    expect(toLive.results).toMatchObject([{ environment: 'live', release: 'v1', status: 'live' }])
    expect(toLive.output).toContain('test follows it too, but this push goes elsewhere, as asked')
    // The release's own address is off in live, and is not printed.
    expect(toLive.output).toMatch(/ {7}http:\/\/shop\.localhost:\d+ *\n/)
    expect(toLive.output).not.toContain('v1--shop')
    expect((await slipway.get('v1--shop.localhost')).status).toBe(404)
    expect([await bodyOf('shop'), await bodyOf('test--shop')]).toEqual(['live by hand\n', 'one\n'])

    await shop.write({ 'www/index.html': 'not waited for\n' })
    const queued = await shop.push('develop', '-o', 'nowait')
    expect(queued.results).toMatchObject([{ environment: 'test', status: 'queued' }])
    expect(queued.output).toMatch(/To watch it: slipway deploys log \d+ -f/)
    expect(await slipwayCli('deploys', 'log', queued.results[0]?.['deploy'] ?? '', '-f')).toMatch(/status=live\n$/)
    expect(await bodyOf('test--shop')).toBe('not waited for\n')
  })

  it('several branches and tags in one push: what is followed is deployed once, the rest kept and told', async () => {
    await shop.write({ 'www/index.html': 'of several\n' })
    await shop.commit('several')
    const refs = ['refs/heads/develop', 'refs/heads/feature/x', 'refs/tags/v1.0', 'refs/heads/main']
    const { code, output } = await shop.git('push', 'slipway', ...refs.map((ref) => `HEAD:${ref}`))
    expect(code).toBe(0)
    expect(output.match(/status=live/g)).toHaveLength(1)
    expect(output).toContain('slipway envs set test --branch feature/x -a shop')
    expect(output).toContain('slipway envs set live --branch main -a shop')
    expect(await bodyOf('test--shop')).toBe('of several\n')
    const there = (await shop.git('ls-remote', 'slipway')).output
    for (const ref of refs) expect(there).toContain(ref)
  })

  it('a clone has the default branch checked out', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'clone-'))
    const cloned = await shop.git('clone', '-q', `${slipway.controlUrl}/shop.git`, join(dir, 'shop'))
    expect(cloned).toEqual({ code: 0, output: '' })
    expect(await readFile(join(dir, 'shop/.git/HEAD'), 'utf8')).toBe('ref: refs/heads/develop\n')
    expect(await readFile(join(dir, 'shop/www/index.html'), 'utf8')).toBe('of several\n')
    await rm(dir, { recursive: true })
  })

  it('test takes a forced push; the branch of live takes none and stays, until the setting says so', async () => {
    expect(await slipwayCli('envs', 'set', 'live', '--branch', 'master', '-a', 'shop')).toBe(
      'live of shop follows master; a push to it deploys.\n',
    )
    await shop.write({ 'www/index.html': 'master\n' })
    const master = await shop.push('master')
    expect(master.results).toMatchObject([{ environment: 'live', release: 'v2', status: 'live' }])
    expect(master.output).toContain(`http://shop.localhost:${slipway.port}`)
    expect(await bodyOf('shop')).toBe('master\n')
    expect((await shop.push('develop')).results).toMatchObject([{ environment: 'test', status: 'live' }])

    await shop.git('reset', '-q', '--hard', 'HEAD~2')
    await shop.write({ 'www/index.html': 'another history\n' })
    const refused = await shop.push('master', '--force')
    expect(refused.code).toBe(1)
    expect(refused.output).toMatch(
      /live follows this branch and takes no forced push; to allow it: slipway envs set live --allow-forced-push/,
    )
    const deleted = await shop.git('push', 'slipway', ':refs/heads/master')
    expect(deleted.code).toBe(1)
    expect(deleted.output).toContain('live follows this branch; to delete it anyway')
    expect(await bodyOf('shop')).toBe('master\n')

    expect((await shop.push('develop', '--force')).results).toMatchObject([{ environment: 'test', status: 'live' }])
    expect(await bodyOf('test--shop')).toBe('another history\n')
    await slipwayCli('envs', 'set', 'live', '--allow-forced-push', '-a', 'shop')
    expect((await shop.push('master', '--force')).results).toMatchObject([{ environment: 'live', status: 'live' }])
    expect(await bodyOf('shop')).toBe('another history\n')
  })

  it('deleting a branch that an environment follows is told; its site goes on', async () => {
    const gone = await shop.git('push', 'slipway', ':refs/heads/develop', ':refs/heads/feature/x', ':refs/tags/v1.0')
    expect(gone.code).toBe(0)
    expect(gone.output).toContain('test follows develop, which is gone now. What runs goes on')
    expect(gone.output).not.toMatch(/status=/)
    expect(await bodyOf('test--shop')).toBe('another history\n')
    const again = await shop.git('push', 'slipway', ':refs/heads/feature/x')
    expect(again.code).toBe(1)
    expect(again.output).toContain('there is no such branch or tag to delete')
    // Nor does it make an app.
    await shop.git('push', `${slipway.controlUrl}/never.git`, ':refs/heads/main')
    expect((await slipway.api('GET', '/apps/never')).status).toBe(404)
  })

  it('a commit that is deployed already is deployed again when its branch is made anew', async () => {
    const again = await shop.git('push', 'slipway', 'HEAD:refs/heads/develop')
    expect(again.output).toMatch(/environment=test release=v\d+ status=live/)
  })
})
