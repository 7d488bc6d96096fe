import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { rawCall } from '../support/http-call.ts'
import { listPushRemains } from '../support/holdings.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'

const run = promisify(execFile)
const zero = '0'.repeat(40)

/**
 * What must not get in, and what must not break when a client does not play by the rules. Through the real proxy, to the
 * real server.
 */
describe('a push that is refused or breaks off', () => {
  let slipway: Slipway
  let shop: Clone

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway({ SLIPWAY_MAX_PUSH_MB: '1' })
    await slipway.start()
    shop = await makeClone(slipway, 'shop')
    await shop.write(page('one'))
    expect((await shop.push('develop')).results).toMatchObject([{ status: 'live' }])
  })

  afterAll(async () => {
    await shop.remove()
    expect(await slipway.remove()).toEqual([])
  })

  const apps = async (): Promise<string[]> =>
    (await slipway.api<{ apps: { name: string }[] }>('GET', '/apps')).body.apps.map(({ name }) => name)
  const host = (): string => `slipway.localhost:${slipway.port}`
  const auth = (): string => `Authorization: Basic ${Buffer.from(`x:${slipway.token}`).toString('base64')}`

  it('with a wrong token or none is told so by git, and makes nothing', async () => {
    const stranger = await makeClone({ ...slipway, token: '' }, 'stranger')
    await stranger.write(page('mine'))
    const at = `http://ada:guessed@slipway.localhost:${slipway.port}`
    await stranger.git('remote', 'set-url', 'slipway', `${at}/stranger.git`)
    const wrong = await stranger.push('main')
    expect(wrong.code).not.toBe(0)
    expect(wrong.output).toContain('This token is not known here.')
    expect(wrong.output).toContain('slipway login')
    expect(wrong.output).toContain('Authentication failed')
    await stranger.git('remote', 'set-url', 'slipway', `${at}/shop.git`)
    expect((await stranger.git('ls-remote', 'slipway')).output).not.toContain('refs/heads')

    const none = await rawCall(
      slipway.port,
      `GET /shop.git/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: ${host()}\r\n\r\n`,
    )
    expect(none).toMatch(/^HTTP\/1\.1 401 /)
    expect(none).toMatch(/WWW-Authenticate: Basic/i)
    expect(await apps()).toEqual(['shop'])
    await stranger.remove()
  })

  it('to a name that is no app’s is told what is wrong with it; fetching from an app that is not there says so', async () => {
    const named = (name: string): Promise<{ code: number; output: string }> =>
      shop.git('push', `${slipway.controlUrl}/${name}.git`, 'HEAD:refs/heads/main')
    const wrong = ['Shop', 'a--b', '-x', 'v12', 'slipway', 'a'.repeat(31), 'team/shop', 'sh%6fp', 'a%20b', '.%2e/x']
    for (const name of wrong) {
      const { code, output } = await named(name)
      expect({ name, code }).not.toEqual({ name, code: 0 })
      expect(output).toMatch(/cannot be the name of an app|is reserved/)
    }
    const unknown = await shop.git('ls-remote', `${slipway.controlUrl}/nobody.git`)
    expect(unknown.code).not.toBe(0)
    expect(unknown.output).toMatch(/There is no app “nobody”/)
    expect(await apps()).toEqual(['shop'])
  })

  it.each([
    '/../shop.git/info/refs?service=git-upload-pack',
    '//shop.git/info/refs?service=git-upload-pack',
    '/%2e%2e/shop.git/info/refs?service=git-upload-pack',
    '/x/../shop.git/info/refs?service=git-upload-pack',
    '/shop.git/../shop.git/info/refs?service=git-upload-pack',
    '/shop%2egit/info/refs?service=git-upload-pack',
    '/shop.git//info/refs?service=git-upload-pack',
    '/shop.git/info/refs?service=git-upload-pack&x=/../..',
    '/shop.git/info/refs?service=git-upload-archive',
    '/shop.git/HEAD',
    '/shop.git/objects/../../../admin-token',
    '/repositories/../../admin-token',
    '/..%2f..%2fadmin-token',
    '/%00.git/info/refs?service=git-upload-pack',
  ])('the address %s leads nowhere, even with the right token', async (path) => {
    const answer = await rawCall(
      slipway.port,
      `GET ${path} HTTP/1.1\r\nHost: ${host()}\r\n${auth()}\r\nConnection: close\r\n\r\n`,
    )
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /)
    expect(answer).not.toMatch(/refs\/heads|service=git/)
    expect(answer).not.toContain(slipway.token)
  })

  it('over the size limit is told the limit, and leaves nothing', async () => {
    const big = await makeClone(slipway, 'big')
    await big.write(page('big'))
    await writeFile(join(big.dir, 'film.bin'), randomBytes(3 * 1024 * 1024))
    const { code, output, results } = await big.push('main')
    expect(code).toBe(1)
    expect(output).toContain('This push is larger than the limit of 1 MB.')
    expect(output).toMatch(/SLIPWAY_MAX_PUSH_MB/)
    expect(output).toMatch(/! \[remote rejected\] HEAD -> main \(This push is larger/)
    expect(results).toEqual([])
    await waitFor('its remains to be gone', 30_000, async () => (await listPushRemains(slipway)).length === 0)
    expect(await apps()).toEqual(['shop'])
    await big.remove()
  })

  it('whose client hangs up before the pack or in the middle of it changes nothing', async () => {
    const broken = await makeClone(slipway, 'broken')
    await broken.write(page('x'))
    await writeFile(join(broken.dir, 'noise.bin'), randomBytes(600 * 1024))
    const commit = await broken.commit('x')
    const command = `${zero} ${commit} refs/heads/main\0 report-status side-band-64k object-format=sha1`
    const head = Buffer.from(`${(command.length + 4).toString(16).padStart(4, '0')}${command}0000`)
    const packing = run('git', ['-C', broken.dir, 'pack-objects', '--all', '--stdout', '-q'], { encoding: 'buffer' })
    packing.child.stdin?.end()
    const whole = Buffer.concat([head, (await packing).stdout])
    for (const [sent, says] of [
      [0, whole.length],
      [40, whole.length],
      [head.length, whole.length],
      [head.length + 20, whole.length],
      [whole.length >> 1, whole.length],
      [whole.length - 1, whole.length],
    ] as const) {
      await hangUp(whole.subarray(0, sent), says)
    }
    await waitFor('the remains to be gone', 30_000, async () => (await listPushRemains(slipway)).length === 0)
    expect(await apps()).toEqual(['shop'])
    expect((await broken.git('ls-remote', 'slipway')).output).toContain('There is no app')
    expect((await broken.push('main')).results).toMatchObject([{ status: 'live', release: 'v1' }])
    await broken.remove()
  })

  /** Says how much it will send, sends some of it, and is gone. */
  async function hangUp(bytes: Buffer, says: number): Promise<void> {
    const socket = connect(slipway.port, '127.0.0.1')
    const type = 'Content-Type: application/x-git-receive-pack-request'
    socket.write(
      `POST /broken.git/git-receive-pack HTTP/1.1\r\nHost: ${host()}\r\n${auth()}\r\n${type}\r\nContent-Length: ${says}\r\n\r\n`,
    )
    socket.write(bytes)
    await new Promise((done) => setTimeout(done, 100))
    socket.destroy()
  }

  it('whose client hangs up in the build, the release commands or the checks is deployed all the same', async () => {
    const phases = [
      { app: 'build', step: 'RUN sleep 2', config: '', when: /Step 3\/4/ },
      { app: 'release', step: '', config: 'release: [ { run: "sleep 2" } ]\n', when: /Running one release command/ },
      { app: 'check', step: '', config: 'port: 8088\n', when: /Checking v\d/ },
    ]
    await Promise.all(
      phases.map(async ({ app, step, config, when }) => {
        const clone = await makeClone(slipway, app)
        await clone.write({
          'www/index.html': 'without a pusher',
          Dockerfile: `FROM slipway-test/busybox:1\nCOPY www /www\n${step}\nCMD sleep 4; exec httpd -f -p $PORT -h /www\n`,
          'slipway.yml': config,
        })
        await clone.commit(app)
        const pushing = clone.start('push', 'slipway', 'HEAD:refs/heads/develop')
        await waitFor(`the ${app}`, 30_000, () => when.test(pushing.output()))
        pushing.kill()
        expect((await pushing.ended).output).not.toMatch(/status=/)
        const isLive = async (): Promise<boolean> => (await slipway.get(`test--${app}.localhost`)).status === 200
        await waitFor(`${app} to be live`, 30_000, isLive)
        await clone.remove()
      }),
    )
  })

  it('of refs outside branches, tags and notes is refused ref by ref; what is allowed goes in', async () => {
    const { code, output } = await shop.git(
      'push',
      'slipway',
      ...['refs/slipway/deploys/1', 'refs/remotes/origin/x', 'refs/stash', 'refs/heads/HEAD', 'refs/tags/v1'].map(
        (ref) => `HEAD:${ref}`,
      ),
      'HEAD:refs/heads/kept',
    )
    expect(code).toBe(1)
    expect(output).toMatch(/\[remote rejected\] HEAD -> refs\/slipway\/deploys\/1 /)
    expect(output).toMatch(/only branches, tags and notes can be pushed, not “refs\/remotes\/origin\/x”/)
    expect(output).toMatch(/\[remote rejected\] HEAD -> refs\/stash /)
    expect(output).toMatch(/a branch cannot be called HEAD/)
    expect(output).toMatch(/\[new tag\] +HEAD -> v1/)
    expect(output).toMatch(/\[new branch\] +HEAD -> kept/)
    const refs = (await shop.git('ls-remote', 'slipway')).output
    expect(refs).toContain('refs/heads/kept')
    expect(refs).not.toMatch(/refs\/(slipway|remotes|stash)/)
    // Not to be read either, by whoever knows the name.
    expect((await shop.git('fetch', 'slipway', 'refs/slipway/deploys/1')).code).not.toBe(0)
  })

  it('leaves the server small, its sites serving, and nothing half-made', async () => {
    expect((await slipway.get('test--shop.localhost')).status).toBe(200)
    expect(await listPushRemains(slipway)).toEqual([])
    expect((await slipway.sql("select 1 from pushes where state = 'receiving'")).length).toBe(0)
    expect((await slipway.get('slipway.localhost', '/readyz')).status).toBe(200)
  })
})
