import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { residentMb, untilRetired } from '../support/crashes.ts'
import { type Holdings, listHoldings } from '../support/holdings.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { visit } from '../support/visitor.ts'

const run = promisify(execFile)
const docker = async (...args: string[]): Promise<string> => (await run('docker', args)).stdout.trim()

/** What a start makes of what it finds: the database wins, the engine and the proxy are brought to it, and what is foreign is left alone. */
describe('a start', () => {
  let slipway: Slipway
  let clone: Clone
  let settled: Holdings
  const instance = (): string => `slw-${slipway.installation}-test--shop-v1-1`

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway()
    await slipway.start()
    clone = await makeClone(slipway, 'shop')
    await clone.write(page('one'))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    settled = await listHoldings(slipway)
  })

  afterAll(async () => {
    await clone.remove()
    expect(await slipway.remove()).toEqual([])
  })

  const serves = async (body: string): Promise<void> => {
    await waitFor(`${body} to be served`, 30_000, async () => {
      const answer = await slipway.get('test--shop.localhost')
      return answer.status === 200 && answer.body === `${body}\n`
    })
  }

  it('adopts what runs and touches neither it nor a request to it', async () => {
    const visitor = visit(slipway.port, 'test--shop.localhost', ['one'])
    const begun = await docker('inspect', '-f', '{{.Id}} {{.State.StartedAt}}', instance())
    await slipway.stop('SIGKILL')
    await slipway.start()
    expect(await docker('inspect', '-f', '{{.Id}} {{.State.StartedAt}}', instance())).toBe(begun)
    expect(await listHoldings(slipway)).toEqual(settled)
    expect(await visitor.stop()).toEqual([])
  })

  it('starts what is gone or has ended, with the same address, and the engine keeps it running again', async () => {
    const address = await slipway.sql('select host(address) as address from addresses where instance_id is not null')
    await slipway.stop()
    await docker('rm', '-f', instance())
    await slipway.start()
    await serves('one')
    await slipway.stop()
    // As somebody does by hand: the engine does not bring it back.
    await docker('stop', '-t', '0', instance())
    await slipway.start()
    await serves('one')
    const format =
      '{{range .NetworkSettings.Networks}}{{.IPAMConfig.IPv4Address}}{{end}} {{.HostConfig.RestartPolicy.Name}}'
    expect(await docker('inspect', '-f', format, instance())).toBe(
      `${(address[0] as { address: string }).address} unless-stopped`,
    )
    expect(await listHoldings(slipway)).toEqual(settled)
  })

  it('writes the proxy’s maps as the database has them, also after they were spoiled', async () => {
    await slipway.stop()
    const maps = join(slipway.dataDir, 'proxy/maps')
    const halfWritten = join(maps, '.0123456789ab.tmp')
    await writeFile(halfWritten, 'torn')
    await writeFile(join(maps, 'routes.map'), '# slipway 0000\ne1 r99/1\n')
    await slipway.start()
    await serves('one')
    expect(await listHoldings(slipway)).toEqual(settled)
    expect(existsSync(halfWritten)).toBe(false)
  })

  it('removes the remains of deploys that have ended; young strangers and foreign things stay', async () => {
    const ours = ['--label', `slipway.installation=${slipway.installation}`]
    const image = 'slipway-test/busybox:1'
    const start = (name: string, ...labels: string[]): Promise<string> =>
      docker('run', '-d', '--name', name, ...labels, image, '/bin/sleep', '1000')
    const [deploy] = await slipway.sql<{ id: string }>('select id from deploys')
    const names = ['remains', 'young', 'foreign', 'other'].map((name) => `${slipway.installation}-${name}`)
    const [remains = '', young = '', foreign = '', other = ''] = names
    const network = `${slipway.installation}-foreign`
    try {
      await slipway.stop()
      await start(remains, ...ours, '--label', `slipway.deploy=${deploy?.id}`, '--label', 'slipway.kind=command')
      await start(young, ...ours, '--label', 'slipway.kind=instance')
      await start(foreign)
      await start(other, '--label', 'slipway.installation=another', '--label', 'slipway.kind=instance')
      await docker('network', 'create', '--internal', network)
      await slipway.start()
      const there = (await docker('ps', '-a', '--format', '{{.Names}}')).split('\n')
      expect(names.filter((name) => there.includes(name))).toEqual([young, foreign, other])
      expect(await docker('network', 'ls', '-q', '--filter', `name=${network}`)).not.toBe('')
      await serves('one')
    } finally {
      for (const name of names) await docker('rm', '-f', name).catch(() => undefined)
      await docker('network', 'rm', network)
    }
    expect(await listHoldings(slipway)).toEqual(settled)
  })

  it('without an engine tells it in one sentence and leaves the sites serving', async () => {
    await slipway.stop()
    const visitor = visit(slipway.port, 'test--shop.localhost', ['one'])
    slipway.launch({ DOCKER_HOST: `unix://${slipway.dataDir}/no-engine.sock` })
    expect(await slipway.ended()).toBe(1)
    expect(slipway.output()).toMatch(/ !     No Docker engine answers on .*no-engine\.sock\./)
    expect(slipway.output()).not.toMatch(/\n\s+at /)
    expect(await visitor.stop()).toEqual([])
    await slipway.start()
    expect(await listHoldings(slipway)).toEqual(settled)
  })

  it('of a second server is refused, on the same data folder and on the same database', async () => {
    const pid = slipway.pid()
    slipway.launch()
    expect(await slipway.ended()).toBe(1)
    expect(slipway.output()).toContain(`Another Slipway (pid ${pid}) runs with the data folder ${slipway.dataDir}.`)

    const second = await makeSlipway({ DATABASE_URL: slipway.databaseUrl })
    second.launch()
    expect(await second.ended()).toBe(1)
    expect(second.output()).toContain('Another Slipway works with this database.')
    expect(existsSync(join(second.dataDir, 'run/proxy.sock'))).toBe(false)
    expect(await second.remove()).toEqual([])
    await serves('one')
    process.kill(pid, 'SIGTERM')
    await waitFor('the first to end', 30_000, () => !existsSync(`/proc/${pid}`))
  })

  it('brings the proxy back when it was killed', async () => {
    await slipway.start()
    const pids = (await readFile(join(slipway.dataDir, 'run/proxy.pid'), 'utf8')).trim().split('\n')
    for (const pid of pids) process.kill(Number(pid), 'SIGKILL')
    await waitFor('the site to be back', 30_000, () =>
      slipway.get('test--shop.localhost').then(
        ({ body }) => body === 'one\n',
        () => false,
      ),
    )
    await untilRetired(slipway)
    expect(await listHoldings(slipway)).toEqual(settled)
    expect(await residentMb(slipway)).toBeLessThan(150)
  })
})
