import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { newestDeploy, readLog, untilAllEnded, untilRetired } from '../support/crashes.ts'
import { listPushRemains } from '../support/holdings.ts'
import { mountSmallDisk, type SmallDisk } from '../support/small-disk.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { visit } from '../support/visitor.ts'

/** Slipway's data folder is a file system of its own, which runs full. The floors, which see that coming, are as good as off. */
describe('a full disk', () => {
  let disk: SmallDisk
  let slipway: Slipway
  let clone: Clone

  async function begin(env: Record<string, string>): Promise<void> {
    slipway = await makeSlipway({ SLIPWAY_DISK_FLOOR_MB: '1', ...env }, { dataDir: disk.path })
    await slipway.start()
    clone = await makeClone(slipway, 'shop')
    await clone.write(page('one'))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
  }

  beforeAll(async () => void (await ensureBaseImage()))
  beforeEach(async () => void (disk = await mountSmallDisk(384)))
  afterEach(async () => {
    await disk.free()
    await clone.remove()
    expect(await slipway.remove()).toEqual([])
    await disk.unmount()
  })

  const said = async (): Promise<string> =>
    (await readLog(slipway, (await newestDeploy(slipway)).id)).map(({ text }) => text).join('\n')

  it('while a pack comes in refuses the push, keeps nothing of it, and takes it when there is room', async () => {
    await begin({})
    const visitor = visit(slipway.port, 'test--shop.localhost', ['one', 'two'])
    await clone.write(page('two'))
    await writeFile(join(clone.dir, 'big'), randomBytes(24 * 1024 * 1024))
    const tip = await clone.git('ls-remote', 'slipway', 'refs/heads/develop')
    // Room enough to begin with.
    await disk.fill(6 * 1024 * 1024)
    const refused = await clone.push('develop')
    expect(refused.code).not.toBe(0)
    expect(refused.output).toMatch(/too little room|no space left|No space left/)
    expect(await listPushRemains(slipway)).toEqual([])
    await disk.free()
    expect(await clone.git('ls-remote', 'slipway', 'refs/heads/develop')).toEqual(tip)
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    expect(await visitor.stop()).toEqual([])
  })

  it('while the proxy’s maps are written fails the deploy in words, and what served serves', async () => {
    await begin({})
    const visitor = visit(slipway.port, 'test--shop.localhost', ['one', 'two'])
    await clone.write(
      page('two', {
        'slipway.yml': 'drain: 2s\nstop: 1s\nrelease: [{ label: migrate, run: "echo going; sleep 6" }]\n',
      }),
    )
    await clone.push('develop', '-o', 'nowait')
    await waitFor('the release command', 30_000, async () => (await said()).includes('going'))
    await disk.fill()
    await waitFor('the deploy to give up', 60_000, async () => {
      const [row] = await slipway.sql<{ error_message: string | null }>(
        'select error_message from deploys order by id desc limit 1',
      )
      return row?.error_message != null
    })
    await disk.free()
    await untilAllEnded(slipway)
    expect((await newestDeploy(slipway)).state).toBe('failed')
    expect(await said()).toMatch(/map \w+ could not be written[\s\S]*full or read-only disk/)
    expect((await slipway.get('test--shop.localhost')).body).toBe('one\n')
    expect(await slipway.sql(`select 1 from instances where state <> 'retired' and state <> 'serving'`)).toEqual([])
    await clone.write({ 'www/more': 'x\n' })
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    await untilRetired(slipway)
    expect(await visitor.stop()).toEqual([])
  })

  it('under the database stops nothing that serves; the deploy that it stopped ends when there is room', async () => {
    await begin({ DATABASE_URL: '' })
    const visitor = visit(slipway.port, 'test--shop.localhost', ['one', 'two'])
    await clone.write(
      page('two', {
        'slipway.yml':
          'drain: 2s\nstop: 1s\nrelease: [{ label: migrate, run: "for i in 1 2 3 4 5 6; do head -c 60000 /dev/urandom | base64; sleep 1; done" }]\n',
      }),
    )
    await clone.push('develop', '-o', 'nowait')
    await waitFor('the release command', 30_000, async () => (await newestDeploy(slipway)).step === 'release-commands')
    await disk.fill()
    const answer = await slipway.api('GET', '/apps')
    expect([200, 503]).toContain(answer.status)
    await new Promise((done) => setTimeout(done, 8_000))
    await disk.free()
    await waitFor('the database', 60_000, () =>
      slipway.sql('select 1').then(
        () => true,
        () => false,
      ),
    )
    await untilAllEnded(slipway)
    const { state, id } = await newestDeploy(slipway)
    expect(['live', 'failed']).toContain(state)
    expect(await slipway.sql('select 1 from release_commands where deploy_id = $1', [id])).toHaveLength(1)
    await untilRetired(slipway)
    expect((await slipway.get('test--shop.localhost')).body).toBe(state === 'live' ? 'two\n' : 'one\n')
    expect(await visitor.stop()).toEqual([])
  })

  it('where the output of instances is kept stops neither them nor Slipway, and what they say later is kept again', async () => {
    await begin({})
    const chatter =
      'FROM slipway-test/busybox:1\nCOPY www /www\nCMD ["/bin/sh", "-c", "httpd -p $PORT -h /www; i=0; while true; do i=$((i+1)); echo tick $i; sleep 0.2; done"]\n'
    await clone.write(page('two', { Dockerfile: chatter }))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    const visitor = visit(slipway.port, 'test--shop.localhost', ['two'])
    const lastTick = async (): Promise<number> => {
      const answer = await slipway.get('slipway.localhost', '/api/v1/apps/shop/environments/test/logs?tail=5', {
        headers: { authorization: `Bearer ${slipway.token}`, accept: 'text/plain' },
      })
      return Number(/tick (\d+)(?!.*tick)/s.exec(answer.body)?.[1] ?? 0)
    }
    await waitFor('ticks', 30_000, async () => (await lastTick()) > 2)
    await disk.fill()
    await new Promise((done) => setTimeout(done, 4_000))
    await disk.free()
    const before = await lastTick()
    await waitFor('later ticks', 60_000, async () => (await lastTick()) > before + 10)
    expect(await visitor.stop()).toEqual([])
  })
})
