import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { processesIn } from '../support/git-server.ts'
import { listPushRemains } from '../support/holdings.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'

/** Somebody stops the server's git in the middle of a push, as a disk that hangs would. Takes the minute that git may be silent. */
describe('a push whose git on the server stops', () => {
  let slipway: Slipway
  let shop: Clone

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway()
    await slipway.start()
    shop = await makeClone(slipway, 'shop')
    await shop.git('config', 'core.compression', '0')
    await shop.write(page('one'))
    await writeFile(join(shop.dir, 'noise.bin'), randomBytes(60 * 1024 ** 2))
  })

  afterAll(async () => {
    await shop.remove()
    expect(await slipway.remove()).toEqual([])
  })

  const receiving = (): string[] =>
    processesIn(slipway.dataDir).filter(
      (line) => line.includes('git receive-pack --st') && !line.includes('--advertise-refs'),
    )

  it('is told so, leaves nothing behind, and the next one goes live', async () => {
    const pushing = shop.push('develop')
    let pid = 0
    await waitFor('git on the server', 30_000, async () => {
      pid = Number(receiving()[0]?.split(' ')[0] ?? 0)
      return pid > 0
    })
    process.kill(pid, 'SIGSTOP')
    const { code, output } = await pushing
    expect(code).toBe(1)
    expect(output).toMatch(/remote: {2}!     On the server git receive-pack made no progress for 60 s\./)
    expect(output).toMatch(/nothing was changed\. Push again/)
    await waitFor('its remains to be gone', 30_000, async () => (await listPushRemains(slipway)).length === 0)
    expect(receiving()).toEqual([])
    expect((await slipway.api<{ apps: unknown[] }>('GET', '/apps')).body.apps).toEqual([])

    expect((await shop.git('push', 'slipway', 'HEAD:refs/heads/develop')).output).toMatch(/status=live/)
    expect((await slipway.get('test--shop.localhost')).body).toBe('one\n')
  }, 180_000)
})
