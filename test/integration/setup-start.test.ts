import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { assertPortFree, lockDataDir, parseRoutes, prepareDataDir } from '../../src/setup/preflight.ts'
import { makeTestSite } from '../support/docker-runtime.ts'
import { freePort } from '../support/free-port.ts'

const run = promisify(execFile)

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slw-start-'))
  await chmod(folder, 0o755)
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `npm start`'s second half as a user would, and waits for its end. */
async function start(
  env: Record<string, string>,
  options: { args?: string[]; as?: 'nobody' | 'docker'; hide?: string[] } = {},
): Promise<Ended> {
  const server = [nodePath(), join(process.cwd(), 'src/setup/start.ts'), ...(options.args ?? [])]
  const groups = options.as === 'docker' ? `--groups=${(await stat('/var/run/docker.sock')).gid}` : '--clear-groups'
  const asUser = options.as === undefined ? [] : ['setpriv', '--reuid=nobody', '--regid=nogroup', groups, '--']
  // A program is missing where nothing executable stands in its place, in this process alone.
  const hide = 'until [ "$1" = -- ]; do mount --bind /dev/null "$1"; shift; done; shift; exec "$@"'
  const hidden = ['unshare', '--mount', 'sh', '-c', hide, 'sh', ...(options.hide ?? []), '--']
  const command = [...hidden, ...asUser, ...server]
  const child = spawn(command[0] ?? '', command.slice(1), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: folder, SLIPWAY_DATA: join(folder, 'data'), ...(await ownPlace()), ...env },
  })
  const limit = setTimeout(() => child.kill('SIGKILL'), 120_000)
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  clearTimeout(limit)
  return { code, stdout, stderr }
}

const networksOf = async (installation: string): Promise<string> =>
  (await run('docker', ['network', 'ls', '-q', '--filter', `label=slipway.installation=${installation}`])).stdout

/** A Slipway with the usual settings may run on this machine. */
async function ownPlace(): Promise<Record<string, string>> {
  return { SLIPWAY_NETWORK: makeTestSite().network, SLIPWAY_HTTP_PORT: String(await freePort()) }
}

const nodePath = () => {
  const own = join(process.cwd(), `node_modules/node-linux-${process.arch}/bin/node`)
  return existsSync(own) ? own : process.execPath
}

describe('npm start, when something cannot be had', () => {
  it('tells all wrong settings in one sentence, without a stack, and makes nothing', async () => {
    const { code, stderr } = await start({ SLIPWAY_HTTP_PORT: 'http', SLIPWAY_DOMAIN: 'No Domain', SLIPWAY_TYPO: 'x' })
    expect(code).toBe(1)
    expect(stderr).toContain(' !     The settings cannot be used')
    for (const name of ['SLIPWAY_HTTP_PORT', 'SLIPWAY_DOMAIN', 'SLIPWAY_TYPO']) expect(stderr).toContain(name)
    expect(stderr).not.toMatch(/^\s+at /m)
    expect(await readdir(folder)).toEqual([])
  })

  it('refuses an argument that it does not know', async () => {
    const { code, stderr } = await start({}, { args: ['--no-dmeo'] })
    expect([code, stderr]).toEqual([2, expect.stringContaining('does not know --no-dmeo')])
  })

  it('refuses a network that the host uses otherwise', async () => {
    const route = parseRoutes(await readFile('/proc/net/route', 'utf8')).find(({ mask }) => mask !== 0)
    const address = [24, 16, 8, 0].map((shift) => ((route?.network ?? 0) >>> shift) & 255).join('.')
    const { code, stderr } = await start({ SLIPWAY_NETWORK: `${address}/24` })
    expect([code, stderr]).toEqual([1, expect.stringContaining(`clashes with ${address}/`)])
    expect(stderr).toContain(route?.device)
    expect(await readdir(folder)).toEqual([])
  })

  it('refuses a port that is taken, and makes nothing', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const { code, stderr } = await start({ SLIPWAY_HTTP_PORT: String(port) })
    expect([code, stderr]).toEqual([1, expect.stringContaining(`Port ${port} on 127.0.0.1 is taken.`)])
    expect(await readdir(folder)).toEqual([])
    await new Promise((resolve) => server.close(resolve))
  })

  it('names the exact command when packages are missing and it is not root', async () => {
    const hide = ['/usr/sbin/haproxy', '/usr/bin/git']
    const { code, stderr } = await start({ CI: 'true' }, { as: 'nobody', hide })
    expect(code).toBe(1)
    expect(stderr).toContain('only root can install them: git (to receive pushes: no git is installed), haproxy')
    expect(stderr).toContain('Run as root: apt-get install --no-install-recommends git haproxy')
    expect(await readdir(folder)).toEqual([])
  })

  it('installs nothing when nobody can be asked', async () => {
    const { code, stderr } = await start({}, { hide: ['/usr/sbin/haproxy'] })
    expect(code).toBe(1)
    expect(stderr).toContain('Run as root: apt-get install --no-install-recommends haproxy (or set SLIPWAY_YES=1')
    expect(await readdir(folder)).toEqual([])
  })

  it('says so on a machine without apt-get', async () => {
    const { stderr } = await start({ CI: 'true' }, { hide: ['/usr/sbin/haproxy', '/usr/bin/apt-get'] })
    expect(stderr).toContain('this machine has no apt-get: haproxy')
  })

  it('refuses a data folder that it cannot write', async () => {
    const { code, stderr } = await start({ SLIPWAY_DATA: join(folder, 'data') }, { as: 'nobody' })
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining(`data folder ${join(folder, 'data')} cannot be written`),
    ])
  })

  it('refuses an engine that this user may not use', async () => {
    await chmod(folder, 0o777)
    const { code, stderr } = await start({ SLIPWAY_DATA: join(folder, 'mine') }, { as: 'nobody' })
    expect([code, stderr]).toEqual([1, expect.stringContaining('This user may not use the Docker engine')])
  })

  it('refuses a user who may use the engine but not write the firewall, before networks are made', async () => {
    await chmod(folder, 0o777)
    const installation = makeTestSite().installation
    const env = { SLIPWAY_DATA: join(folder, 'mine'), SLIPWAY_INSTALLATION: installation }
    const { code, stderr } = await start(env, { as: 'docker' })
    expect([code, stderr]).toEqual([1, expect.stringContaining('This user may not write the firewall')])
    expect(await networksOf(installation)).toBe('')
  })

  it('makes no network when the PostgreSQL of DATABASE_URL is not there', async () => {
    const { installation } = makeTestSite()
    const env = { SLIPWAY_INSTALLATION: installation, DATABASE_URL: 'postgres://x:y@127.0.0.1:1/none' }
    const { code, stderr } = await start(env)
    expect([code, stderr]).toEqual([1, expect.stringContaining('The PostgreSQL of DATABASE_URL cannot be reached')])
    expect(await networksOf(installation)).toBe('')
  })

  it('names the server that holds the data folder', async () => {
    await prepareDataDir(join(folder, 'data'))
    const lock = await lockDataDir(join(folder, 'data'))
    const { code, stderr } = await start({})
    expect([code, stderr]).toEqual([1, expect.stringContaining(`Another Slipway (pid ${process.pid}) runs`)])
    lock.release()
  })
})

describe('the data folder', () => {
  it('is made with modes that let the database’s user through and nobody else in', async () => {
    const dataDir = join(folder, 'a/b')
    await prepareDataDir(dataDir)
    await chmod(join(dataDir, 'repositories'), 0o777)
    await prepareDataDir(dataDir)
    const modes: Record<string, string> = {}
    for (const name of ['.', 'run', 'logs', 'repositories']) {
      modes[name] = ((await stat(join(dataDir, name))).mode & 0o777).toString(8)
    }
    expect(modes).toEqual({ '.': '711', run: '711', logs: '700', repositories: '700' })
  })

  it('is held by one server at a time, and free at once when that one is killed', async () => {
    await prepareDataDir(folder)
    const script = `import('${join(process.cwd(), 'src/setup/preflight.ts')}').then(async (m) => {
      await m.lockDataDir(${JSON.stringify(folder)})
      console.log('held')
      setInterval(() => {}, 1000)
    })`
    const holder = spawn(nodePath(), ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise((resolve) => holder.stdout.once('data', resolve))
    await expect(lockDataDir(folder)).rejects.toThrow(`Another Slipway (pid ${holder.pid ?? 0})`)
    const gone = new Promise((resolve) => holder.on('close', resolve))
    holder.kill('SIGKILL')
    await gone
    const mine = await lockDataDir(folder)
    await expect(lockDataDir(folder)).rejects.toThrow(`(pid ${process.pid})`)
    mine.release()
    ;(await lockDataDir(folder)).release()
  })

  it('is refused when its path is too long for Unix sockets', async () => {
    await expect(prepareDataDir(`/${'x'.repeat(67)}`)).rejects.toThrow('too long for Unix sockets')
  })
})

describe('the port', () => {
  it('is named with its setting when it is taken, out of reach, or not this machine’s', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    await expect(assertPortFree('127.0.0.1', port)).rejects.toMatchObject({
      message: `Port ${port} on 127.0.0.1 is taken.`,
      hint: expect.stringContaining('SLIPWAY_HTTP_PORT'),
    })
    await expect(assertPortFree('0.0.0.0', port)).rejects.toThrow('is taken')
    await new Promise((resolve) => server.close(resolve))
    await assertPortFree('127.0.0.1', port)
    await expect(assertPortFree('192.0.2.1', port)).rejects.toMatchObject({
      hint: expect.stringContaining('SLIPWAY_BIND'),
    })
  })
})
