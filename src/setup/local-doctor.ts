import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { makeEngine } from '../adapters/docker/index.ts'
import { readSettings, type Settings } from '../config.ts'
import { examine, type Finding, isBad, isOk } from '../doctor/index.ts'
import { readLockHolder } from '../kernel/file-lock.ts'
import { makeDoctorChecks } from '../server/doctor-checks.ts'

const connectMs = 2_000

interface Silence {
  /** What whoever asked the server was told. */
  readonly message: string
  /** `unavailable`: it runs and answers, but lacks its database. */
  readonly silence: 'unreachable' | 'not-allowed' | 'unavailable'
}

/**
 * What can be seen of a server without asking it, with the settings of this environment; null when its data folder is not on
 * this machine, or when it runs and only does not know who asks.
 */
export async function examineThisMachine(silent: Silence): Promise<Finding[] | null> {
  const settings = readSettings()
  if (!existsSync(settings.dataDir)) return null
  const pid = findServer(settings.dataDir)
  if (pid !== null && silent.silence === 'not-allowed') return null
  const engine = makeEngine({ socketPath: settings.dockerSocket })
  const findings = await examine(makeDoctorChecks({ settings, engine, server: null }))
  const listeners = [await judgeProxy(settings), await judgeDatabase(settings, silent)]
  return [judgeServer(settings.dataDir, pid, silent.message), ...listeners, ...findings]
}

/** Proxy and database run apart from the server: whether somebody takes connections there. */
async function judgeProxy({ dataDir }: Settings): Promise<Finding> {
  const subject = { check: 'proxy', why: 'It serves all sites, also without the server.' }
  const path = join(dataDir, 'run', 'proxy.sock')
  if (await takesConnections({ path })) return isOk(subject, 'It takes connections')
  const mend = 'The server starts it again within seconds. If it does not: systemctl status slipway-proxy.'
  return isBad(subject, 'fail', { what: `Nobody takes connections on ${path}`, mend })
}

async function judgeDatabase({ dataDir, databaseUrl }: Settings, { silence }: Silence): Promise<Finding> {
  const subject = { check: 'database', why: 'Slipway keeps everything it knows in it; sites go on without it.' }
  const { place, name } = placeOfDatabase(dataDir, databaseUrl)
  const own = `Its log is ${join(dataDir, 'logs', 'postgres.log')}; as a service of the machine: systemctl status slipway-postgres.`
  const its = databaseUrl === null ? own : 'It is the one that DATABASE_URL names: look there, or mend the setting.'
  const isThere = await takesConnections(place)
  if (isThere && silence !== 'unavailable') return isOk(subject, 'It takes connections')
  const what = isThere
    ? 'It takes connections, but does not answer the server: it starts, is frozen, or its disk is full or slow'
    : `Nobody takes connections on ${name}`
  return isBad(subject, 'fail', { what, mend: `The server goes on by itself when it is back. ${its}` })
}

/** Where it listens; its name holds no password. */
function placeOfDatabase(dataDir: string, url: Settings['databaseUrl']): { place: Place; name: string } {
  const own = join(dataDir, 'run', 'postgres', '.s.PGSQL.5432')
  if (url === null) return { place: { path: own }, name: own }
  const { hostname, port, searchParams } = new URL(url.reveal())
  const number = port === '' ? 5432 : Number(port)
  const host = searchParams.get('host') ?? decodeURIComponent(hostname)
  const path = join(host, `.s.PGSQL.${number}`)
  if (host.startsWith('/')) return { place: { path }, name: path }
  return { place: { host: host === '' ? 'localhost' : host, port: number }, name: `${host}:${number}` }
}

type Place = { readonly path: string } | { readonly host: string; readonly port: number }

function takesConnections(place: Place): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ ...place, timeout: connectMs })
    const end = (answers: boolean): void => {
      socket.destroy()
      resolve(answers)
    }
    socket.once('connect', () => end(true))
    socket.once('timeout', () => end(false))
    socket.once('error', () => end(false))
  })
}

function findServer(dataDir: string): number | null {
  const lock = join(dataDir, 'run', 'server.lock')
  const holder = existsSync(lock) ? readLockHolder(lock) : null
  return holder !== null && existsSync(`/proc/${holder}`) ? holder : null
}

function judgeServer(dataDir: string, pid: number | null, message: string): Finding {
  const subject = {
    check: 'server',
    status: 'fail',
    why: 'Sites go on without it; pushes and commands wait for it.',
  } as const
  if (pid === null) {
    return { ...subject, what: 'It does not run', mend: 'Start it: npm start, or systemctl start slipway' }
  }
  const log = join(dataDir, 'logs', 'slipway.log')
  return {
    ...subject,
    what: `It runs (pid ${pid}), but: ${message}`,
    mend: `See ${log}, and the proxy’s log beside it.`,
  }
}
