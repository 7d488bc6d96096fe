import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { makeEngine } from '../adapters/docker/index.ts'
import { readSettings, type Settings } from '../config.ts'
import { examine, type Finding } from '../doctor/index.ts'
import { readLockHolder } from '../kernel/file-lock.ts'
import { makeDoctorChecks } from '../server/doctor-checks.ts'

const connectMs = 2_000

/**
 * What can be seen of a server without asking it, with the settings of this environment; null when its data folder is not on
 * this machine, or when it runs and only does not know who asks.
 */
export async function examineThisMachine(silence: {
  message: string
  isUnreachable: boolean
}): Promise<Finding[] | null> {
  const settings = readSettings()
  if (!existsSync(settings.dataDir)) return null
  const pid = findServer(settings.dataDir)
  if (pid !== null && !silence.isUnreachable) return null
  const engine = makeEngine({ socketPath: settings.dockerSocket })
  const findings = await examine(makeDoctorChecks({ settings, engine, server: null }))
  return [judgeServer(settings.dataDir, pid, silence.message), ...(await judgeListeners(settings)), ...findings]
}

/** Proxy and own database run apart from the server: whether somebody takes connections there. */
async function judgeListeners({ dataDir, databaseUrl }: Settings): Promise<Finding[]> {
  const proxy = join(dataDir, 'run', 'proxy.sock')
  const database = join(dataDir, 'run', 'postgres', '.s.PGSQL.5432')
  const mend = 'Starting the server brings it back; its own log lies in the data folder’s logs.'
  const judge = async (check: string, why: string, path: string): Promise<Finding> => {
    const answers = await takesConnections(path)
    if (answers) return { check, status: 'ok', what: 'It takes connections', why, mend: null }
    return { check, status: 'fail', what: `Nobody takes connections on ${path}`, why, mend }
  }
  return Promise.all([
    judge('proxy', 'It serves all sites, also without the server.', proxy),
    ...(databaseUrl === null ? [judge('database', 'Slipway keeps everything it knows in it.', database)] : []),
  ])
}

function takesConnections(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path, timeout: connectMs })
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
