import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import type { Part } from '../support/compose.ts'
import { type Containers, makeContainers } from '../support/containers.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { visitKept } from '../support/kept-visitor.ts'
import { visit } from '../support/visitor.ts'

const run = promisify(execFile)

/** What docker/compose.yml allows its containers is enough for all that they do. */
describe('Slipway as three containers', () => {
  const site = 'test--shop.localhost'
  let slipway: Slipway
  let containers: Containers
  let clone: Clone | null = null

  beforeAll(async () => {
    await ensureBaseImage()
    const network = `10.${240 + (process.pid % 15)}.0.0/20`
    slipway = await makeSlipway({ DATABASE_URL: '', SLIPWAY_NETWORK: network })
    containers = await makeContainers({
      SLIPWAY_DATA: slipway.dataDir,
      SLIPWAY_INSTALLATION: slipway.installation,
      SLIPWAY_HTTP_PORT: String(slipway.port),
      SLIPWAY_NETWORK: network,
    })
    for (const part of ['postgres', 'proxy', 'slipway'] as const) await containers.start(part)
    await untilReady()
    const token = (await readFile(join(slipway.dataDir, 'admin-token'), 'utf8')).trim()
    clone = await makeClone({ controlUrl: slipway.controlUrl, token }, 'shop')
    await push('v1')
  })
  afterAll(async () => {
    await clone?.remove()
    await containers.remove()
    expect(await slipway.remove()).toEqual([])
  })

  const push = async (text: string): Promise<void> => {
    await clone?.write(page(text))
    expect((await clone?.push('develop'))?.results).toMatchObject([{ status: 'live' }])
  }
  const answers = async (host: string, path = '/'): Promise<boolean> =>
    (await slipway.get(host, path).catch(() => null))?.status === 200
  const untilReady = (): Promise<void> =>
    waitFor(
      'Slipway to be ready',
      60_000,
      async () => (await answers('slipway.localhost', '/readyz')) && (await saysReady()),
    )
  const saysReady = async (): Promise<boolean> => (await containers.log('slipway')).includes('Slipway is ready')
  const processes = async (part: Part): Promise<string[]> => {
    const { stdout } = await run('docker', ['top', containers.name(part), '-o', 'pid'])
    const found = stdout
      .trim()
      .split('\n')
      .slice(1)
      .flatMap((pid) => {
        try {
          return [readFileSync(`/proc/${pid.trim()}/status`, 'utf8')]
        } catch (error) {
          // It has ended meanwhile.
          if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
          throw error
        }
      })
    expect(found).not.toEqual([])
    return found
  }

  it('loses no request while Slipway is replaced and the database restarts', async () => {
    const visitors = [visit(slipway.port, site, ['v1', 'v2']), visitKept(slipway.port, site, ['v1', 'v2'])]
    // Ended in any case: visitors that go on keep the whole run from ending.
    const failed: unknown[] = []
    try {
      await containers.stop('slipway')
      await containers.start('slipway')
      await untilReady()
      await containers.stop('postgres')
      // What was asked a moment ago is answered once more.
      await waitFor(
        'Slipway to miss the database',
        30_000,
        async () => !(await answers('slipway.localhost', '/readyz')),
      )
      await containers.start('postgres')
      await waitFor('the database', 30_000, () => answers('slipway.localhost', '/readyz'))
      await push('v2')
    } finally {
      for (const visitor of visitors) failed.push(...(await visitor.stop()))
    }
    expect(failed).toEqual([])
  })

  it('serves as users without any capability', async () => {
    const plain = (status: string): boolean => !/^Uid:\t0\b/m.test(status) && /^CapEff:\t0+$/m.test(status)
    expect((await processes('postgres')).filter((one) => !plain(one))).toEqual([])
    // The master only watches the worker.
    expect((await processes('proxy')).filter(plain)).toHaveLength(1)
    for (const part of ['postgres', 'proxy', 'slipway'] as const) {
      for (const status of await processes(part)) expect(status).toMatch(/^NoNewPrivs:\t1$/m)
    }
  })

  it('brings the site back after all three were stopped', async () => {
    for (const part of ['slipway', 'proxy', 'postgres'] as const) await containers.stop(part)
    expect(await answers(site)).toBe(false)
    for (const part of ['slipway', 'proxy', 'postgres'] as const) await containers.start(part)
    await waitFor('the site', 30_000, () => answers(site))
    await untilReady()
  })
})
