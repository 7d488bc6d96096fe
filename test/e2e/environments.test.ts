import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, it } from '@jest/globals'
import { type Holdings, listHoldings } from '../support/holdings.ts'
import { withOwnSlipway } from '../support/own-slipway.ts'
import { type Clone, page, type Slipway, waitFor } from '../support/slipway.ts'
import { type Cli } from '../support/slipway-cli.ts'

const git = promisify(execFile)

/** Environments that are added, and what is left when they, and at last their app, are removed. */
describe('environments', () => {
  let slipway: Slipway
  let shop: Clone
  let cli: Cli
  let before: Holdings

  withOwnSlipway((own) => void ({ slipway, cli, shop } = own))
  beforeAll(async () => {
    const talks = `CMD ["/bin/sh", "-c", "echo I begin; exec httpd -f -p $PORT -h /www"]`
    await shop.write(page('one', { Dockerfile: `FROM slipway-test/busybox:1\nCOPY www /www\n${talks}\n` }))
    expect((await shop.push('develop')).results).toMatchObject([{ environment: 'test', status: 'live' }])
    before = await listHoldings(slipway)
  })

  const run = async (...args: string[]): Promise<string> => {
    const env = { SLIPWAY_URL: slipway.controlUrl, SLIPWAY_TOKEN: slipway.token }
    const { code, stdout, stderr } = await cli.run(args, { env })
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
    return stdout
  }
  const logs = (): Promise<string[]> => readdir(join(slipway.dataDir, 'logs', 'environments', 'shop')).catch(() => [])
  const heldRefs = async (): Promise<string[]> => {
    const repository = join(slipway.dataDir, 'repositories', 'shop.git')
    const { stdout } = await git('git', ['-C', repository, 'for-each-ref', '--format=%(refname)', 'refs/slipway/'])
    return stdout.split('\n').filter((ref) => ref !== '')
  }
  const pushQa = async (release: string): Promise<void> => {
    await shop.write({ 'www/index.html': `${release} of qa\n` })
    expect((await shop.push('qa')).results).toMatchObject([{ environment: 'qa', release, status: 'live' }])
    expect((await slipway.get('qa--shop.localhost')).body).toBe(`${release} of qa\n`)
  }
  const untilGone = (): Promise<void> =>
    waitFor('qa to be gone', 30_000, async () => {
      return (await slipway.sql(`select 1 from environments where name = 'qa'`)).length === 0
    })

  it('one is added with a branch that comes later, and removed with all that it had', async () => {
    await run('envs', 'add', 'qa', '-a', 'shop', '--branch', 'qa')
    await pushQa('v1')
    await waitFor('the logs of both', 30_000, async () => (await logs()).sort().join() === 'qa,test')
    expect(await heldRefs()).toHaveLength(2)
    expect(await run('envs', 'remove', 'qa', '-a', 'shop', '--yes')).toBe('Removed qa of shop.\n')
    expect(await listHoldings(slipway)).toEqual(before)
    expect(await logs()).toEqual(['test'])
    expect(await heldRefs()).toEqual(['refs/slipway/deploys/1'])
    expect((await slipway.get('qa--shop.localhost')).status).toBe(404)
    expect((await slipway.get('test--shop.localhost')).body).toBe('one\n')
  })

  it('one is stopped, says so, stays so over a restart, and serves the same release again', async () => {
    expect(await run('envs', 'stop', 'test', '-a', 'shop')).toContain('test of shop is stopped')
    const page = await slipway.get('test--shop.localhost')
    expect([page.status, page.body.includes('This site is stopped')]).toEqual([503, true])
    await waitFor('its instance to go', 30_000, async () => (await listHoldings(slipway)).containers.length === 0)
    await slipway.stop('SIGKILL')
    await slipway.start()
    expect((await slipway.get('test--shop.localhost')).status).toBe(503)
    expect(await run('status', 'test', '-a', 'shop')).toMatch(/stopped/i)
    expect(await run('envs', 'start', 'test', '-a', 'shop')).toContain('release=v1 status=live')
    expect((await slipway.get('test--shop.localhost')).body).toBe('one\n')
    const again = await listHoldings(slipway)
    expect(again.containers).toEqual([expect.stringMatching(/-test--shop-v1-d\d+-1$/)])
    expect({ ...again, containers: [], targets: [] }).toEqual({ ...before, containers: [], targets: [] })
    expect(again.targets).toHaveLength(before.targets.length)
    before = again
  })

  it('one that comes again goes on counting; killed anywhere while it goes, Slipway removes it all the same', async () => {
    for (const [point, release] of [
      ['removal.down', 'v2'],
      ['removal.logs', 'v3'],
      ['removal.recorded', 'v4'],
    ] as const) {
      await run('envs', 'add', 'qa', '-a', 'shop', '--branch', 'qa')
      await pushQa(release)
      await slipway.stop()
      await slipway.start({ SLIPWAY_FAULT_POINT: point })
      await run('envs', 'remove', 'qa', '-a', 'shop', '--yes', '--no-wait')
      expect([point, await slipway.ended()]).toEqual([point, 'SIGKILL'])
      await slipway.start()
      await untilGone()
      expect([point, await listHoldings(slipway)]).toEqual([point, before])
      expect([point, await logs()]).toEqual([point, ['test']])
    }
  })

  it('the app goes with its repository, also when Slipway is killed in between', async () => {
    await slipway.stop()
    await slipway.start({ SLIPWAY_FAULT_POINT: 'removal.repository' })
    await run('apps', 'remove', 'shop', '--yes', '--no-wait')
    expect(await slipway.ended()).toBe('SIGKILL')
    await slipway.start()
    await waitFor('the app to be gone', 30_000, async () => (await slipway.sql('select 1 from apps')).length === 0)
    const nothing = { containers: [], images: 0, addresses: 0, targets: [] }
    expect(await listHoldings(slipway)).toMatchObject(nothing)
    expect((await listHoldings(slipway)).hosts.filter((host) => host.includes('shop'))).toEqual([])
    const repositories = await readdir(join(slipway.dataDir, 'repositories'))
    expect(repositories.filter((name) => name.includes('shop') || name.startsWith('.gone-'))).toEqual([])
    expect(await logs()).toEqual([])
  })
})
