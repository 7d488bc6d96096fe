import { execFile, spawn } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makeCluster } from '../../src/postgres/cluster.ts'

const run = promisify(execFile)
let dataDir: string
let stopped: AbortController
let watching: Promise<void> | null = null
beforeEach(async () => {
  stopped = new AbortController()
  dataDir = await mkdtemp(join(tmpdir(), 'slipway-cluster-'))
  await chmod(dataDir, 0o711)
})
afterEach(async () => {
  stopped.abort()
  await watching
  watching = null
  await cluster().stop()
  // One that was killed is there until its parent has seen it off.
  for (const end = Date.now() + 10_000; (await processesBelow(dataDir)).length > 0 && Date.now() < end; )
    await delay(20)
  expect(await processesBelow(dataDir)).toEqual([])
  await rm(dataDir, { recursive: true })
})

const cluster = (options: { programsRoot?: string; answerLimitMs?: number } = {}) =>
  makeCluster({ dataDir, name: 'control', logger: silentLogger, durable: false, ...options })
const sql = async (query: string) =>
  (await run('psql', ['-h', join(dataDir, 'run/postgres'), '-U', 'slipway', '-qAtc', query, 'slipway'])).stdout.trim()
const postmaster = async () =>
  Number.parseInt(await readFile(join(dataDir, 'postgres/control/postmaster.pid'), 'utf8'), 10)

describe('an own PostgreSQL cluster', () => {
  it('is made once, found again, and goes on with its data after a stop', async () => {
    await cluster().ensure()
    await sql('create table kept (x int); insert into kept values (7)')
    const pid = await postmaster()
    const access = async () => (await stat(join(dataDir, 'postgres/control/slipway_hba.conf'))).ino
    const written = await access()
    expect(await cluster().ensure()).toMatchObject({ user: 'slipway', database: 'slipway' })
    expect(await postmaster()).toBe(pid)
    await cluster().stop()
    await cluster().ensure()
    expect(await sql('select x from kept')).toBe('7')
    // On a full disk it could not be written again.
    expect(await access()).toBe(written)
  })

  it('goes on where the user of the server has another number, as after a move into a container', async () => {
    await cluster().ensure()
    await sql('create table kept (x int); insert into kept values (7)')
    await cluster().stop()
    await run('chown', ['-R', '64999:64999', join(dataDir, 'postgres/control'), join(dataDir, 'run/postgres')])
    await cluster().ensure()
    expect(await sql('select x from kept')).toBe('7')
    const strangers = await run('find', [join(dataDir, 'postgres'), '-uid', '64999'])
    expect(strangers.stdout).toBe('')
  })

  it('listens on no network, lets nobody else in, and gives Slipway a plain role', async () => {
    await cluster().ensure()
    const pid = await postmaster()
    expect(await sql('show listen_addresses')).toBe('')
    expect(
      await sql('select rolsuper or rolcreatedb or rolcreaterole from pg_roles where rolname = current_user'),
    ).toBe('f')
    const stranger = run('setpriv', [
      ...['--reuid=nobody', '--regid=nogroup', '--clear-groups'],
      ...['psql', '-h', join(dataDir, 'run/postgres'), '-U', 'slipway', '-c', 'select 1', 'slipway'],
    ])
    await expect(stranger).rejects.toThrow('Permission denied')
    expect((await stat(join(dataDir, 'postgres/control'))).mode & 0o777).toBe(0o700)
    expect((await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0').map((v) => v.split('=')[0])).toEqual(
      expect.not.arrayContaining(['NODE_ENV', 'JEST_WORKER_ID']),
    )
  })

  it('lives in a session of its own, so that the end of our process group does not reach it', async () => {
    await cluster().ensure()
    const fields = (await readFile(`/proc/${await postmaster()}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
    expect(fields[3]).toBe(String(await postmaster()))
  })

  it('is made once when several start at the same moment', async () => {
    await Promise.all([cluster().ensure(), cluster().ensure(), cluster().ensure()])
    expect(await readdir(join(dataDir, 'postgres'))).toEqual(['control'])
    expect(await sql('select 1')).toBe('1')
  })

  it('is not mistaken for whole after an interrupted initdb', async () => {
    await mkdir(join(dataDir, 'postgres/control.new/base'), { recursive: true })
    await writeFile(join(dataDir, 'postgres/control.new/PG_VERSION'), '15\n')
    await cluster().ensure()
    expect(await sql('select 1')).toBe('1')
    expect(await readdir(join(dataDir, 'postgres'))).toEqual(['control'])
  })

  it('comes back when the server is killed while a query runs', async () => {
    await cluster().ensure()
    await sql('create table kept (x int); insert into kept values (7)')
    watching = cluster().watch(stopped.signal)
    const busy = sql('select count(*) from generate_series(1, 1000000000)').catch(() => 'cut')
    while ((await sql("select count(*) from pg_stat_activity where state = 'active'")) !== '2') await delay(20)
    const killed = await postmaster()
    process.kill(killed, 'SIGKILL')
    const begin = performance.now()
    let answer = ''
    while (answer !== '7' && performance.now() - begin < 60_000) {
      await delay(50)
      answer = await sql('select x from kept').catch(() => '')
    }
    expect(answer).toBe('7')
    expect(await postmaster()).not.toBe(killed)
    expect(await busy).toBe('cut')
  })

  it('says that a frozen server is there, and does not start another over it', async () => {
    await cluster().ensure()
    const pid = await postmaster()
    process.kill(pid, 'SIGSTOP')
    try {
      await expect(cluster({ answerLimitMs: 500 }).ensure()).rejects.toThrow(
        `(pid ${pid}) is there but does not answer`,
      )
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await cluster().ensure()
    expect(await postmaster()).toBe(pid)
  })

  it('says which programs a cluster of another version needs', async () => {
    await mkdir(join(dataDir, 'postgres/control'), { recursive: true })
    await writeFile(join(dataDir, 'postgres/control/PG_VERSION'), '11\n')
    await expect(cluster().ensure()).rejects.toThrow('belongs to PostgreSQL 11, whose programs are not installed')
    await rm(join(dataDir, 'postgres/control'), { recursive: true })
    await expect(cluster({ programsRoot: '/nonexistent' }).ensure()).rejects.toThrow('No PostgreSQL server')
  })

  it('says which folder keeps the server’s user out', async () => {
    await chmod(dataDir, 0o700)
    await expect(cluster().ensure()).rejects.toThrow(`cannot pass ${dataDir} on the way`)
    await chmod(dataDir, 0o711)
  })

  it('says why when the server ends at once', async () => {
    await cluster().ensure()
    await cluster().stop()
    await writeFile(
      join(dataDir, 'postgres/control/postgresql.auto.conf'),
      "shared_preload_libraries = 'no_such_thing'\n",
    )
    await expect(cluster().ensure()).rejects.toMatchObject({
      message: 'The database server ended while it was starting.',
      evidence: expect.arrayContaining([expect.stringContaining('no_such_thing')]),
    })
  })

  it('refuses a path too long for a Unix socket', () => {
    expect(() => makeCluster({ dataDir: `/${'x'.repeat(90)}`, name: 'control', logger: silentLogger })).toThrow(
      'too long',
    )
  })

  it('runs as an ordinary user too', async () => {
    await chmod(dataDir, 0o777)
    const script = `import('${join(process.cwd(), 'src/postgres/cluster.ts')}').then(async ({ makeCluster }) => {
      const log = { warn() {}, info() {}, error() {}, debug() {} }
      await makeCluster({ dataDir: ${JSON.stringify(dataDir)}, name: 'control', logger: log, durable: false }).ensure()
    })`
    const asNobody = ['--reuid=nobody', '--regid=nogroup', '--clear-groups', '--']
    const child = spawn('setpriv', [...asNobody, process.execPath, '-e', script], { stdio: 'inherit' })
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0)
    const answer = await run('setpriv', [
      ...asNobody,
      ...['psql', '-h', join(dataDir, 'run/postgres'), '-U', 'slipway', '-qAtc', 'select current_user', 'slipway'],
    ])
    expect(answer.stdout.trim()).toBe('slipway')
  })
})

async function processesBelow(folder: string): Promise<string[]> {
  const { stdout } = await run('ps', ['-eo', 'pid,args'])
  return stdout.split('\n').filter((line) => line.includes(folder) && !line.includes(' ps '))
}
