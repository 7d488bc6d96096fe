import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { openStream } from '../support/event-reader.ts'
import { freePort } from '../support/free-port.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { type Cli, type CliResult, makeCli } from '../support/slipway-cli.ts'

const run = promisify(execFile)

/** The command line as its users have it: a process of its own, signed in, in the app's folder, against the real server. */
describe('the command line', () => {
  let slipway: Slipway
  let shop: Clone
  let cli: Cli
  let first: string

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway({ SLIPWAY_BUILD_SLOTS: '2', SLIPWAY_ROUTER_LOG: 'on' })
    await slipway.start()
    cli = await makeCli()
    shop = await makeClone(slipway, 'shop')
    await shop.write({
      ...page('one'),
      Dockerfile:
        'FROM slipway-test/busybox:1\nCOPY www /www\nCMD echo serving; while true; do sleep 0.5; echo tick; done & exec httpd -f -p $PORT -h /www\n',
    })
    expect((await shop.push('main')).results).toMatchObject([{ status: 'live' }])
    first = (await shop.git('rev-parse', 'HEAD')).output.trim()
  })

  afterAll(async () => {
    await Promise.all([shop.remove(), cli.remove()])
    expect(await slipway.remove()).toEqual([])
  })

  const inShop = (...args: string[]): Promise<CliResult> => cli.run(args, { cwd: shop.dir })
  const json = async <T>(...args: string[]): Promise<T> => JSON.parse((await inShop(...args, '--json')).stdout) as T
  const codeOf = async (...args: string[]): Promise<number | null> => (await inShop(...args)).code
  const bodyOf = async (): Promise<string> => (await slipway.get('test--shop.localhost')).body

  it('signs in; before that and with a wrong token it says so', async () => {
    const stranger = await inShop('apps', 'list')
    expect(stranger.code).toBe(3)
    expect(stranger.stderr).toContain('slipway login')
    const wrong = await inShop('login', slipway.controlUrl, '--token', 'guessed', '--no-git')
    expect(wrong.code).toBe(3)
    expect(wrong.stderr).toContain('does not know your token')
    const right = await inShop('login', slipway.controlUrl, '--token', slipway.token, '--no-git')
    expect(right).toMatchObject({ code: 0, stdout: expect.stringContaining('Signed in to') })
    expect(right.stdout + right.stderr).not.toContain(slipway.token)
    expect((await inShop('version')).stdout).toMatch(/^slipway \S+\nserver {2}\S+ \(http/)
  })

  it('shows apps, environments, status and deploys of the app whose folder it is in', async () => {
    expect((await inShop('apps', 'list')).stdout).toMatch(/^shop +main /m)
    expect((await inShop('envs', 'list')).stdout).toMatch(
      /^test +main \(default\) +deploys[\s\S]*^live \(live\) +main \(default\) +nothing/m,
    )
    expect((await inShop('status')).stdout).toMatch(new RegExp(`^test +v1 +${first.slice(0, 10)} .* up `, 'm'))
    const [deploy] = await json<{ id: number; state: string; release: string }[]>('deploys', 'list')
    expect(deploy).toMatchObject({ state: 'live', release: 'v1' })
    const id = String(deploy?.id)
    expect((await inShop('deploys', 'show', id)).stdout).toMatch(/^State +live$/m)
    const { stdout } = await inShop('deploys', 'log', id)
    expect(stdout).toMatch(/^-----> Deploy \d+: shop/)
    expect(stdout).toMatch(/=====> v1 is live in test[\s\S]*status=live\n$/)
    expect((await inShop('deploys', 'log', id, '-f')).stdout).toBe(stdout)
  })

  it('has its exit codes', async () => {
    expect(await codeOf('deploys', 'show', 'x')).toBe(2)
    expect(await codeOf('nonsense')).toBe(2)
    expect(await codeOf('status', '-a', 'nobody')).toBe(4)
    expect(await codeOf('deploys', 'show', '999999')).toBe(4)
    expect(await codeOf('deploy', 'nowhere')).toBe(4)
    expect(await codeOf('deploy', '--commit', 'ffffffff')).toBe(4)
    expect(await codeOf('deploys', 'cancel', '1')).toBe(5)
    const env = { SLIPWAY_URL: `http://127.0.0.1:${await freePort()}`, SLIPWAY_TOKEN: 'x' }
    expect((await cli.run(['apps', 'list'], { env })).code).toBe(6)
  })

  it('deploys the newest commit, and an earlier one', async () => {
    await shop.write({ 'www/index.html': 'two\n' })
    await shop.push('main', '-o', 'skip-deploy')
    expect(await bodyOf()).toBe('one\n')
    const newest = await inShop('deploy')
    expect(newest.code).toBe(0)
    expect(newest.stdout).toMatch(/=====> v2 is live in test[\s\S]*release=v2 status=live\n$/)
    expect(await bodyOf()).toBe('two\n')
    expect((await inShop('deploy', '--commit', 'v1', '--plan')).code).toBe(4)
    await shop.git('tag', '-a', '-m', 'the first', 'v1', first)
    expect((await shop.git('push', 'slipway', 'v1')).code).toBe(0)
    expect((await inShop('deploy', '--commit', 'v1', '--plan')).stdout).toMatch(
      new RegExp(`^${first.slice(0, 10)} goes to test`),
    )
    const earlier = await inShop('deploy', '--commit', first.slice(0, 8))
    expect(earlier).toMatchObject({ code: 0, stdout: expect.stringContaining('release=v3 status=live') })
    expect(await bodyOf()).toBe('one\n')
    await shop.write({ Dockerfile: 'FROM slipway-test/busybox:1\nRUN exit 3\n' })
    await shop.push('main', '-o', 'skip-deploy')
    expect(await inShop('deploy')).toMatchObject({ code: 1, stdout: expect.stringContaining('status=failed') })
    expect(await bodyOf()).toBe('one\n')
  })

  it('follows the log of what runs', async () => {
    const { stdout } = await inShop('logs', '-n', '500')
    expect(stdout).toMatch(/serving/)
    const following = cli.start(['logs', '-f', '-n', '1'], { cwd: shop.dir })
    await waitFor('three ticks', 30_000, () => (following.stdout().match(/tick/g) ?? []).length >= 3)
    following.child.kill('SIGINT')
    expect([0, 130]).toContain((await following.result).code)
  })

  it('shows the log of what ran before, and of its deploys', async () => {
    const was = await inShop('logs', '--release', 'v1', '-n', '2000', '--source', 'app')
    expect(was.stdout).toMatch(/^\S+Z v1 web\.1 \| serving/m)
    const { stdout } = await inShop('logs', '--since', '1h', '--source', 'app,deploy')
    expect(stdout).toMatch(/^\S+Z v2 web\.1 \| serving/m)
    expect(stdout).toMatch(/^\S+Z deploy 1 \| slipway: deploy=1 environment=test release=v1 status=live$/m)
    expect((await inShop('logs', '--source', 'database')).code).toBe(2)
    for (const follow of [[], ['-f']]) {
      const unknown = await inShop('logs', '--release', 'v99', ...follow)
      expect(unknown).toMatchObject({ code: 4, stdout: '' })
      expect(unknown.stderr).toBe(
        ' !     There is no release v99 of test.\n       See them with: slipway deploys list test -a shop\n',
      )
    }
    const empty = await inShop('logs', 'live')
    expect(empty).toMatchObject({ code: 0, stdout: '' })
    expect(empty.stderr).toBe('Nothing was deployed to live yet. To do so: slipway deploy live\n')
  })

  it('shows its requests', async () => {
    await slipway.get('test--shop.localhost', '/nothing-there?token=secret')
    await slipway.get('v1--test--shop.localhost', '/of-a-release')
    await waitFor('the request', 20_000, async () =>
      (await inShop('logs', '--source', 'router')).stdout.includes('nothing-there'),
    )
    const { stdout } = await inShop('logs', '--source', 'router')
    expect(stdout).toMatch(/^\S+Z v[1-9] router \| GET \/nothing-there 404 \d+ ms \d+ bytes$/m)
    expect(stdout).not.toContain('secret')
  })

  it('cancels a running build soon, and no other', async () => {
    const slow = 'FROM slipway-test/busybox:1\nRUN sleep 300\n'
    const other = await makeClone(slipway, 'other')
    const files = page('other')
    await other.write({ ...files, Dockerfile: (files['Dockerfile'] ?? '').replace('CMD', 'RUN sleep 3\nCMD') })
    await shop.write({ Dockerfile: slow })
    await shop.commit('slow')
    const pushing = shop.start('push', 'slipway', 'HEAD:refs/heads/main')
    await waitFor('its build', 30_000, async () => (await buildContainers()).length === 1)
    const [endless] = await buildContainers()
    const others = other.push('main')
    await waitFor('both builds', 30_000, async () => (await buildContainers()).length === 2)
    const [deploy] = await json<{ id: number }[]>('deploys', 'list')
    expect(await inShop('deploys', 'cancel', String(deploy?.id))).toMatchObject({ code: 0 })
    await waitFor('its container to be gone', 30_000, async () => !(await buildContainers()).includes(endless ?? ''))
    const { code, output } = await pushing.ended
    expect(code).toBe(0)
    expect(output).toMatch(/ !     Cancelled by admin\./)
    expect(output).toMatch(/test still serves v3, untouched\. *\n.*status=cancelled/)
    expect(await bodyOf()).toBe('one\n')
    expect((await others).results).toMatchObject([{ status: 'live' }])
    expect(await buildContainers()).toEqual([])
    await other.remove()
  })

  it('an event stream through the proxy resumes where it stopped', async () => {
    const url = `${slipway.controlUrl}/api/v1/deploys/1/log`
    const whole = await openStream(url, { token: slipway.token })
    await whole.ended
    const lines = whole.events.filter(({ event }) => event === 'line')
    expect(lines.length).toBeGreaterThan(5)
    expect(whole.events.at(-1)?.event).toBe('end')
    const headers = { 'last-event-id': '4' }
    const rest = await openStream(url, { token: slipway.token, headers })
    await rest.ended
    expect(rest.events).toEqual(whole.events.slice(4))
  })

  /** Containers in which steps of this installation's builds run. */
  async function buildContainers(): Promise<string[]> {
    const labels = [`label=slipway.installation=${slipway.installation}`, 'label=slipway.build']
    const filters = labels.flatMap((label) => ['--filter', label])
    // In one look: a step's container is gone before one could ask about it.
    const { stdout } = await run('docker', ['ps', ...filters, '--format', '{{.ID}} {{.Label "slipway.kind"}}'])
    return stdout.split('\n').flatMap((line) => {
      const [id = '', kind] = line.split(' ')
      return id === '' || kind === 'instance' || kind === 'command' ? [] : [id]
    })
  }
})
