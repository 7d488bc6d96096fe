import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { type Cli, makeCli } from '../support/slipway-cli.ts'

const run = promisify(execFile)
const docker = async (...args: string[]): Promise<string> => (await run('docker', args)).stdout.trim()

/** Serves until it is broken from outside; then it ends at once, as often as it is started. */
const fragile = page('fine', {
  Dockerfile: 'FROM slipway-test/busybox:1\nCOPY www /www\nCOPY start.sh /\nCMD ["/bin/sh", "/start.sh"]\n',
  'start.sh': `[ -e /broken ] && { echo cannot go on; exit 3; }
httpd -f -p $PORT -h /www &
while [ ! -e /broken ]; do sleep 0.1; done
exit 3
`,
})

describe('an app that ends again and again', () => {
  let slipway: Slipway
  let clone: Clone
  let cli: Cli
  const instance = (): string => `slw-${slipway.installation}-test--shop-v1-1`

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway()
    await slipway.start()
    cli = await makeCli()
    clone = await makeClone(slipway, 'shop')
    await clone.write(fragile)
    const { results, output } = await clone.push('develop')
    expect({ results, output }).toMatchObject({ results: [{ status: 'live' }] })
  })

  afterAll(async () => {
    await Promise.all([clone.remove(), cli.remove()])
    expect(await slipway.remove()).toEqual([])
  })

  const events = async (): Promise<string[]> => {
    const rows = await slipway.sql<{ kind: string }>(`select kind from events where kind like 'instance.%' order by id`)
    return rows.map(({ kind }) => kind)
  }
  const status = async (): Promise<string> => {
    const env = { SLIPWAY_URL: slipway.controlUrl, SLIPWAY_TOKEN: slipway.token }
    const { stdout, stderr } = await cli.run(['status', 'test', '-a', 'shop'], { env })
    return stdout + stderr
  }

  it('is told as a crash loop, with its exit code and where its log is, also after Slipway was killed', async () => {
    await docker('exec', instance(), '/bin/touch', '/broken')
    await waitFor('the crash loop to be told', 60_000, async () => (await events()).includes('instance.crash-loop'))
    expect((await events()).filter((kind) => kind === 'instance.died')).toHaveLength(4)
    expect((await slipway.get('test--shop.localhost')).status).toBe(503)
    await slipway.stop('SIGKILL')
    await slipway.start()
    const told = await status()
    expect(told).toMatch(
      / !     v1 web\.1 ends again and again \(\d+ times; .*\), last with exit code 3\. Its last lines: slipway logs test -a shop -n 50/,
    )
    expect(told).toMatch(/Health +down, crash loop/)
    const env = { SLIPWAY_URL: slipway.controlUrl, SLIPWAY_TOKEN: slipway.token }
    const inLog =
      /v1 slipway \| web\.1 ended \(exit code 3\); it is started again[^]*\n\S+ v1 slipway \| web\.1 was started again\n\S+ v1 web\.1 \| cannot go on\n/
    // It runs for milliseconds each time, and is not seen running each time.
    await waitFor('its log to tell of it', 60_000, async () =>
      inLog.test((await cli.run(['logs', 'test', '-a', 'shop', '-n', '500'], { env })).stdout),
    )
    // Or in the moment in which it has just been started once more.
    expect(told).toMatch(/v1 web\.1 +(crashed|silent)/)
  })

  it('serves again as soon as it can', async () => {
    // The file that breaks it goes with the container.
    await docker('rm', '-f', instance())
    await waitFor('the site to be back', 60_000, async () => (await slipway.get('test--shop.localhost')).status === 200)
    expect(await status()).toMatch(/v1 web\.1 +running/)
    const env = { SLIPWAY_URL: slipway.controlUrl, SLIPWAY_TOKEN: slipway.token }
    await waitFor('its log to say that it was started again', 20_000, async () => {
      const { stdout } = await cli.run(['logs', 'test', '-a', 'shop', '-n', '1'], { env })
      return stdout.endsWith(' v1 slipway | web.1 was started again\n')
    })
    expect((await events()).filter((kind) => kind === 'instance.crash-loop')).toHaveLength(1)
  })

  it('says why it cannot be started any more', async () => {
    const image = await docker('inspect', '-f', '{{.Image}}', instance())
    // It may have been started again in between.
    await waitFor('container and image to be gone', 30_000, async () => {
      await docker('rm', '-f', instance())
      return docker('rmi', '-f', image).then(
        () => true,
        () => false,
      )
    })
    const why =
      / !     v1 web\.1 .*, and cannot be started again: The image of this build is not on the host any more\. Deploy the commit again: slipway deploy/
    await waitFor('the reason to be told', 60_000, async () => {
      // One that was made just before the image went runs without it.
      await docker('rm', '-f', instance())
      return why.test(await status())
    })
    await clone.write({ 'www/index.html': 'mended\n' })
    expect((await clone.push('develop')).results).toMatchObject([{ release: 'v2', status: 'live' }])
    expect(await status()).not.toContain('cannot be started')
  })
})
