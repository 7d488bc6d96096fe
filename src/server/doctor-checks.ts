import { execFile } from 'node:child_process'
import { request } from 'node:http'
import { promisify } from 'node:util'
import { type DockerRuntime, type Engine, readEngineFacts } from '../adapters/docker/index.ts'
import type { Settings } from '../config.ts'
import {
  type Check,
  countInstances,
  judgeDatabase,
  judgeEngine,
  judgeFirewall,
  judgeGit,
  judgeMachine,
  judgeMissing,
  judgeNight,
  judgePort,
  judgeProxy,
  readDatabaseFacts,
  readMachine,
} from '../doctor/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { readNight } from '../nightly/index.ts'
import type { Database } from '../postgres/database.ts'
import type { Router } from '../routing/index.ts'

const runFile = promisify(execFile)
const toolMs = 10_000

export interface DoctorGround {
  readonly settings: Settings
  readonly engine: Engine
  /** Those of a server that runs; null where none does. */
  readonly server: {
    readonly db: Database
    readonly router: Pick<Router, 'damages' | 'startedAt'>
    readonly runtime: Pick<DockerRuntime, 'probeFirewall'>
  } | null
}

/** What `slipway doctor` looks at, as far as it can be seen from here. */
export function makeDoctorChecks({ settings, engine, server }: DoctorGround): Check[] {
  return [
    {
      name: 'engine',
      why: 'It builds images and runs all sites.',
      run: async () => judgeEngine(await readEngineFacts(engine)),
    },
    ...(server === null ? [] : serverChecks(server)),
    {
      name: 'port',
      why: 'All sites, Git and the API are reached through it.',
      run: async () => judgePort(`${settings.bind}:${settings.httpPort}`, await askOwnPort(settings)),
    },
    {
      name: 'machine',
      why: 'Slipway and all sites live on it.',
      async run() {
        const dataRoot = await readEngineFacts(engine).then(
          (facts) => [facts.dataRoot],
          () => [],
        )
        const instances = server === null ? null : await countInstances(server.db)
        const facts = await readMachine([settings.dataDir, ...dataRoot])
        return judgeMachine(facts, { ...settings, instances })
      },
    },
    {
      name: 'git',
      why: 'Pushes are received by it.',
      run: async () => judgeGit(await versionOf('git', ['--version'])),
    },
    {
      name: 'certificates',
      why: 'Without HTTPS passwords and tokens can be read on their way.',
      run: async () => judgeMissing({ bind: settings.bind, buildkit: await findBuildKit() }),
    },
  ]
}

function serverChecks({ db, router, runtime }: NonNullable<DoctorGround['server']>): Check[] {
  return [
    {
      name: 'database',
      why: 'Slipway keeps everything it knows in PostgreSQL.',
      run: async () => judgeDatabase(await readDatabaseFacts(db)),
    },
    {
      name: 'proxy',
      why: 'It serves all sites.',
      run: async () => judgeProxy({ damages: await router.damages(), startedAt: await router.startedAt() }),
    },
    {
      name: 'firewall',
      why: 'It keeps builds and instances away from the host and from each other.',
      async run() {
        try {
          await runtime.probeFirewall()
          return judgeFirewall(null)
        } catch (error) {
          if (error instanceof SlipwayError) return judgeFirewall(error.message)
          throw error
        }
      },
    },
    {
      name: 'nightly work',
      why: 'It keeps the disk from filling up.',
      run: async () => judgeNight(await readNight(db)),
    },
  ]
}

/** Why Slipway's own address does not answer on its port; null: it does. */
function askOwnPort({ bind, httpPort, controlHost }: Settings): Promise<string | null> {
  const host = bind === '0.0.0.0' ? '127.0.0.1' : bind
  return new Promise((resolve) => {
    const headers = { host: `${controlHost}:${httpPort}` }
    const req = request({ host, port: httpPort, path: '/healthz', headers, agent: false, timeout: 5_000 }, (res) => {
      res.resume()
      resolve(res.statusCode === 200 ? null : `it answers ${res.statusCode ?? 0}`)
    })
    req.on('timeout', () => req.destroy(new Error('no answer within 5 s')))
    req.on('error', (error) => resolve(error.message))
    req.end()
  })
}

/** Which docker client could build with BuildKit: buildx, or one from before 23, which has it built in. */
async function findBuildKit(): Promise<string | null> {
  const buildx = await versionOf('docker', ['buildx', 'version'])
  if (buildx !== null) return `docker buildx ${buildx}`
  const client = await versionOf('docker', ['--version'])
  return client !== null && Number.parseInt(client, 10) < 23 ? `docker ${client}` : null
}

async function versionOf(program: string, args: readonly string[]): Promise<string | null> {
  const { stdout } = await runFile(program, args, { timeout: toolMs, killSignal: 'SIGKILL' }).catch(() => ({
    stdout: '',
  }))
  return /\d+\.\d+(?:\.\d+)?/.exec(stdout)?.[0] ?? null
}
