import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Examination, Repair } from '../../src/cli/api-types.ts'
import { ensureBaseImage } from '../support/base-image.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { type Cli, type CliResult, makeCli } from '../support/slipway-cli.ts'

const run = promisify(execFile)
const docker = async (...args: string[]): Promise<string> => (await run('docker', args)).stdout.trim()

describe('slipway doctor on a real server', () => {
  let slipway: Slipway
  let clone: Clone
  let cli: Cli

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway()
    await slipway.start()
    cli = await makeCli()
    clone = await makeClone(slipway, 'shop')
    await clone.write(page('one'))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
  })

  afterAll(async () => {
    await Promise.all([clone.remove(), cli.remove()])
    expect(await slipway.remove()).toEqual([])
  })

  const doctor = (...args: string[]): Promise<CliResult> => {
    const env = { SLIPWAY_URL: slipway.controlUrl, SLIPWAY_TOKEN: slipway.token }
    return cli.run(['doctor', ...args], { env: { ...env, SLIPWAY_DATA: slipway.dataDir } })
  }
  const look = async (): Promise<Examination> => JSON.parse((await doctor('--json')).stdout) as Examination
  /** What was mended: all of it. (The exit code is the machine's, too, which may lack memory.) */
  const fix = async (): Promise<Repair['mended']> => {
    const { mended } = JSON.parse((await doctor('--fix', '--json')).stdout) as Repair
    expect(mended.filter(({ failed }) => failed !== null)).toEqual([])
    return mended
  }
  const site = async (): Promise<number> => (await slipway.get('test--shop.localhost')).status

  /** What the comparison every 30 s may have mended before anybody could look is spoiled again. */
  const spoil = async (how: () => Promise<void>, what: RegExp): Promise<Examination> => {
    for (let attempt = 1; attempt <= 5; attempt += 1) {
      await how()
      const found = await look()
      if (found.differences?.some((difference) => what.test(difference.what)) === true) return found
    }
    throw new Error(`${what} was never listed`)
  }
  /** The same, mended by --fix and not by the comparison that may come in between. */
  const spoilAndFix = async (how: () => Promise<void>, what: RegExp): Promise<Examination> => {
    for (let attempt = 1; attempt <= 5; attempt += 1) {
      const found = await spoil(how, what)
      if ((await fix()).length > 0) return found
    }
    throw new Error(`${what} was never mended by --fix`)
  }

  const tellProxy = (command: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(join(slipway.dataDir, 'run/proxy.sock'))
      let answer = ''
      socket.on('data', (chunk: Buffer) => (answer += chunk.toString()))
      socket.on('end', () => resolve(answer))
      socket.on('error', reject)
      socket.write(`${command}\n`)
    })
  const mapFile = (name: string): string => join(slipway.dataDir, 'proxy/maps', `${name}.map`)

  it('finds what Slipway stands on, and nothing that differs', async () => {
    const { findings, differences, unknown } = await look()
    const statusOf = (name: string): string | undefined => findings.find(({ check }) => check === name)?.status
    const names = [
      'engine',
      'engine: live-restore',
      'cgroups',
      'database',
      'clock',
      'proxy',
      'firewall',
      'nightly work',
      'port',
      'git',
    ]
    expect(names.map((name) => [name, statusOf(name)])).toEqual(names.map((name) => [name, 'ok']))
    for (const name of ['disk', 'memory', 'open files', 'certificates', 'buildkit'])
      expect(statusOf(name)).toBeDefined()
    expect({ differences, unknown }).toEqual({ differences: [], unknown: null })
    const told = (await doctor()).stdout
    expect(told).toContain('Everything runs as it should.')
    expect(told + JSON.stringify(findings)).not.toContain(slipway.token)
    expect(told).not.toMatch(/postgres(?:ql)?:\/\//)
  })

  it('lists maps that the proxy has lost, changes nothing, and has them told again with --fix', async () => {
    const { differences } = await spoilAndFix(
      async () => void (await tellProxy(`clear map ${mapFile('hosts')};clear map ${mapFile('direct')}`)),
      /The host test--shop\.localhost is missing/,
    )
    expect(differences?.map(({ what }) => what)).toContain(
      'The host v1--test--shop.localhost is missing in the proxy (wanted: r1)',
    )
    expect(await site()).toBe(200)
    expect((await look()).differences).toEqual([])
  })

  it('lists a map file that is gone, and has it written again with --fix', async () => {
    await spoilAndFix(() => rm(mapFile('routes')), /map file routes is gone/)
    expect(existsSync(mapFile('routes'))).toBe(true)
    expect(await site()).toBe(200)
  })

  it('tells of containers with our label that nobody knows, and knows nothing of others', async () => {
    const image = 'slipway-test/busybox:1'
    const ours = `slipway.installation=${slipway.installation}`
    const [young, foreign] = ['young', 'foreign'].map((name) => `${slipway.installation}-${name}`) as [string, string]
    try {
      await docker('run', '-d', '--name', young, '--label', ours, image, '/bin/sleep', '1000')
      await docker('run', '-d', '--name', foreign, image, '/bin/sleep', '1000')
      const { differences } = await look()
      expect(differences?.map(({ what, then }) => `${what}: ${then}`)).toEqual([
        `The container “${young}” is not needed: It is removed in 10 min.`,
      ])
      expect(await fix()).toHaveLength(1)
      expect((await docker('ps', '--format', '{{.Names}}')).split('\n')).toEqual(
        expect.arrayContaining([young, foreign]),
      )
    } finally {
      await docker('rm', '-f', young, foreign)
    }
  })

  it('an instance that was removed is back at once, without it', async () => {
    await docker('rm', '-f', `slw-${slipway.installation}-test--shop-v1-1`)
    await waitFor('the site to be back', 60_000, async () => (await site()) === 200)
    const kinds = await slipway.sql<{ kind: string }>(
      `select kind from events where kind like 'instance.%' order by id`,
    )
    expect(kinds.map(({ kind }) => kind)).toEqual(['instance.died', 'instance.restarted'])
  })

  it('sees without the server that the server is gone', async () => {
    await slipway.stop('SIGKILL')
    const { code, stdout } = await doctor()
    expect(code).toBe(1)
    expect(stdout).toMatch(/^fail {2}server +It does not run$/m)
    expect(stdout).toMatch(/^ok {4}engine +Docker/m)
    expect(stdout).toMatch(/^ok {4}proxy +It takes connections/m)
    await slipway.start()
    expect((await look()).differences).toEqual([])
  })
})
