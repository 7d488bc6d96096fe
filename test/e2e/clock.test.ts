import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { newestDeploy, readLog, untilAllEnded, untilRetired } from '../support/crashes.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { visit } from '../support/visitor.ts'

/** Debian's libfaketime: the clock that Node sees is set by a file and can jump; the monotonic one, and the database's, go on. */
const library = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/faketime/libfaketime.so.1`

describe('a clock that jumps in the middle of a deploy', () => {
  let slipway: Slipway
  let clone: Clone
  const setClock = (offset: string): void => writeFileSync(join(slipway.dataDir, 'clock'), `${offset}\n`)

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway()
    setClock('+0')
    await slipway.start({
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: join(slipway.dataDir, 'clock'),
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    })
    clone = await makeClone(slipway, 'shop')
    await clone.write(page('+0'))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
  })

  afterAll(async () => {
    await clone.remove()
    expect(await slipway.remove()).toEqual([])
  })

  /** The hour of the server, by the `Date` of its own HTTP server. */
  const aheadHours = async (): Promise<number> => {
    const { headers } = await slipway.get('slipway.localhost', '/healthz')
    return Math.round((Date.parse(String(headers['date'])) - Date.now()) / 3_600_000)
  }

  it.each([
    ['+0', '+3h', 3],
    ['+3h', '-2h', -2],
    ['-2h', '+400d', 9_600],
    ['+400d', '+0', 0],
  ])('from %s to %s: each step goes on, nothing is taken away, and nothing fails', async (before, after, hours) => {
    const visitor = visit(slipway.port, 'test--shop.localhost', [before, after])
    await clone.write(
      page(after, {
        Dockerfile: `${page('')['Dockerfile']}RUN echo building; sleep 1\n`,
        'slipway.yml': 'drain: 2s\nstop: 1s\nrelease: [{ label: migrate, run: "echo migrating; sleep 2" }]\n',
      }),
    )
    await clone.push('develop', '-o', 'nowait')
    const { id } = await newestDeploy(slipway)
    const [row] = await slipway.sql<{ lease_owner: string | null }>('select lease_owner from deploys where id = $1', [
      id,
    ])
    await waitFor('the release command', 30_000, async () =>
      (await readLog(slipway, id)).some(({ text }) => text === 'migrating'),
    )
    setClock(after)
    await waitFor('the server to see it', 30_000, async () => (await aheadHours()) === hours)
    await untilAllEnded(slipway)
    expect((await newestDeploy(slipway)).state).toBe('live')
    const log = await readLog(slipway, id)
    expect(log.filter(({ text }) => text === 'migrating')).toHaveLength(1)
    expect(log.filter(({ text }) => text.startsWith('Slipway was started again'))).toEqual([])
    // Whoever held it before the jump still did after it, and its times are the database's.
    const [times] = await slipway.sql<{ ok: boolean }>(
      `select finished_at between started_at and now() and (lease_owner is null or lease_owner = $2) as ok from deploys where id = $1`,
      [id, row?.lease_owner],
    )
    expect(times?.ok).toBe(true)
    await untilRetired(slipway)
    expect(await visitor.stop()).toEqual([])
    expect((await slipway.get('test--shop.localhost')).body).toBe(`${after}\n`)
  })
})
