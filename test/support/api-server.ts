import { makeActivity } from '../../src/activity/index.ts'
import { makeAccounts, newToken } from '../../src/accounts/index.ts'
import type { Finding } from '../../src/doctor/index.ts'
import { type Builder, tryHoldImage, makeBuilds } from '../../src/builds/index.ts'
import { makeCron } from '../../src/cron/index.ts'
import { type Environments, makeEnvironments } from '../../src/environments/index.ts'
import { type HttpAppOptions, makeHttpApp } from '../../src/http/app.ts'
import type { HttpLimits, RunningRelease, RuntimeLogLine } from '../../src/http/needs.ts'
import { type HttpServer, startHttpServer } from '../../src/http/server.ts'
import { SlipwayError } from '../../src/kernel/errors.ts'
import { type Logger, silentLogger } from '../../src/kernel/logger.ts'
import { hasEnded, makeDeployReads, makeLocks, makeProcesses } from '../../src/deploys/index.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { makeSlots } from '../../src/kernel/slots.ts'
import { makeRemovals } from '../../src/removals/index.ts'
import { Secret } from '../../src/kernel/secret.ts'
import { makeMaintenance, makeProtections } from '../../src/protection/index.ts'
import { passwordHash } from '../../src/routing/index.ts'
import { makePool, type Pool } from '../../src/postgres/index.ts'
import { makeDeployPlans } from '../../src/deploy-plans/index.ts'
import { makePromotions } from '../../src/promotions/index.ts'
import { makeRollbacks } from '../../src/rollbacks/index.ts'
import { makeReleases } from '../../src/releases/index.ts'
import { makeStatuses } from '../../src/status/index.ts'
import {
  makeKeyRotation,
  makeMasks,
  makeFreshness,
  makeReleaseVariables,
  makeRevocation,
  makeSecretsSource,
  makeVars,
  openKeys,
  type Revoked,
} from '../../src/vars/index.ts'
import { createTestDatabase } from './database.ts'
import { heldPlace } from './held-place.ts'
import { type ScriptedDeploys, makeScriptedDeploys } from './scripted-deploys.ts'

export const someCommit = 'c0ffee0000000000000000000000000000000001'
export const apiSecretKey = new Secret('api-test-installation-key-00000000000')
export const otherCommit = 'c0ffee1111111111111111111111111111111111'

/** A commit that git fails at. */
export const unreadable = 'bad'.padEnd(40, '0')

/** The real HTTP side on the real stores; deploys, repositories and containers do what the test says. */
export interface ApiServer {
  readonly url: string
  readonly token: Secret
  readonly pool: Pool
  readonly environments: Environments
  readonly deploys: ScriptedDeploys
  /** Environments whose protection the proxy was told, in their order. */
  readonly applied: readonly number[]
  readonly running: Map<number, RunningRelease>
  readonly runtimeLines: RuntimeLogLine[]
  /** What git counts between what is live and a branch. */
  readonly counted: { between: { added: number; left: number } | null }
  /** What goes on with a value that is revoked. */
  readonly goingOn: { left: Revoked['goingOn'] }
  /** `app/branch` → commit. */
  readonly tips: Map<string, string>
  readonly readiness: { fails: Error | null }
  readonly logged: { message: string; fields: Record<string, unknown> }[]
  readonly gitPaths: string[]
  /** What the doctor says. */
  readonly findings: Finding[]
  /** Ends the server like Ctrl-C, with its event streams told. */
  stop(): Promise<void>
  /** Begins again on the same port. */
  restart(): Promise<void>
  remove(): Promise<void>
}

export async function startApiServer(limits: Partial<HttpLimits> = {}): Promise<ApiServer> {
  const database = await createTestDatabase()
  const pool = makePool(database.connection, { logger: silentLogger, size: 5 })
  const accounts = makeAccounts({ db: pool })
  const token = newToken()
  await accounts.setAdminToken(token)
  const environments = makeEnvironments({ db: pool })
  const keys = await openKeys(pool, apiSecretKey)
  const masks = makeMasks(makeSecretsSource({ db: pool, keys }))
  const vars = makeVars({ db: pool, keys, masks })
  const open = new AbortController().signal
  const rotation = makeKeyRotation({ db: pool, keys, keepSecretKey: null, logger: silentLogger, closing: open })
  const state = makeState(pool)
  const removals = makeRemovals({
    ...{ db: pool, environments, deploys: makeClosing(state.deploys), clock: systemClock, logger: silentLogger },
    images: { remove: async () => 0, sweep: async () => 0 },
    builder: { listTraces: async () => [] },
    git: { forgetDeploys: async () => undefined, removeRepository: async () => undefined },
    endJobs: async () => undefined,
    removeLogs: async () => undefined,
  })
  const applied: number[] = []
  const protection = makeProtections({
    db: pool,
    hash: async (credentials) => passwordHash(new Secret(Buffer.alloc(32, 1).toString('base64')), credentials),
    apply: async (environmentId) => void applied.push(environmentId),
  })

  const unused = (): never => {
    throw new Error('no job runs here')
  }
  // Never started: what is asked for waits.
  const cron = makeCron({
    ...{ db: pool, place: heldPlace, clock: systemClock, logger: silentLogger, slots: makeSlots(1), note: unused },
    deploys: { readSpec: unused, wantedMemory: unused },
    runtime: { run: unused, remove: unused, list: unused, survey: unused },
  })

  const mask = async (id: number, text: string): Promise<string> => (await masks.ofEnvironment(id)).mask(text)
  const locks = makeLocks({
    db: pool,
    deploys: { tellPlaces: async () => undefined, wake: () => state.deploys.wake() },
    mask,
  })
  const releases = makeReleases({ db: pool, tryHoldImage })
  const builds = makeBuilds({
    ...{ db: pool, source: { archive: unused, readFiles: unused, surveyTree: unused } },
    builder: { has: async () => true } as unknown as Builder,
    settings: { pull: 'missing', platform: 'linux/x64', slots: 1, memoryBytes: 1, cpus: 1, timeoutMs: 1 },
  })
  const fromReleases = { ...{ db: pool, deploys: state.deploys, releases, builds, vars } }
  const freshness = makeFreshness()
  const variables = makeReleaseVariables({ db: pool, keys, masks: { add: async () => undefined }, freshness })
  const releaseParts = {
    releases,
    rollbacks: makeRollbacks(fromReleases),
    promotions: makePromotions({ ...fromReleases, variables }),
    deployPlans: makeDeployPlans({ ...fromReleases, variables }),
  }
  const maintenance = makeMaintenance({ db: pool, apply: async (id) => void applied.push(id), mask })

  let server: HttpServer | null = null
  let closing = new AbortController()
  let port = 0
  const start = async (): Promise<void> => {
    closing = new AbortController()
    const app = makeHttpApp({
      ...state.parts,
      setDefaultBranch: environments.pinDefaultBranch,
      accounts,
      environments,
      vars,
      revocation: makeRevocation({
        ...{ db: pool, keys, masks, freshness },
        endBegun: async () => [],
        afterTaken: async () => state.goingOn.left,
      }),
      cron,
      rotation,
      removals,
      protection,
      locks,
      maintenance,
      db: pool,
      ...releaseParts,
      activity: makeActivity({ db: pool, everyMs: 20 }),
      statuses: makeStatuses({
        db: pool,
        commits: { countBetween: async () => state.counted.between },
        logger: silentLogger,
      }),
      limits,
      closing: closing.signal,
      facts: {
        version: '9.9.9',
        domain: 'localhost',
        urls: {
          control: `http://slipway.localhost:${port}`,
          git: (name) => `http://slipway.localhost:${port}/${name}.git`,
          environment: (label) => `http://${label}.localhost:${port}`,
          release: (label, number) => `http://v${number}--${label}.localhost:${port}`,
        },
      },
    })
    server = await startHttpServer(app, { host: '127.0.0.1', port })
    port = server.port ?? 0
  }
  const stop = async (): Promise<void> => {
    closing.abort()
    await server?.close(500)
    server = null
  }
  // The first start finds a free port; its addresses are right from the second on.
  await start()
  await stop()
  await start()

  return {
    ...state,
    url: `http://slipway.localhost:${port}`,
    token,
    pool,
    environments,
    applied,
    stop,
    restart: start,
    async remove() {
      await stop()
      await removals.stop()
      await pool.close()
      await database.drop()
    },
  }
}

function makeState(pool: Pool) {
  const running = new Map<number, RunningRelease>()
  const runtimeLines: RuntimeLogLine[] = []
  const tips = new Map<string, string>()
  const readiness: { fails: Error | null } = { fails: null }
  const logged: { message: string; fields: Record<string, unknown> }[] = []
  const gitPaths: string[] = []
  const findings: Finding[] = []
  const deploys = makeScriptedDeploys({ environmentOf: (id) => findEnvironment(pool, id) })
  const counted: { between: { added: number; left: number } | null } = { between: { added: 3, left: 0 } }
  const goingOn: { left: Revoked['goingOn'] } = { left: [] }
  const parts = {
    deploys,
    processes: makeProcesses({ db: pool, deploys }),
    reads: { ...deploys, hasReleaseAddress: (release) => makeDeployReads({ db: pool }).hasReleaseAddress(release) },
    commits: {
      tipOf: async (app, branch) => tips.get(`${app}/${branch}`) ?? null,
      async resolveCommit(_app, text) {
        const found = [someCommit, otherCommit].filter((commit) => commit.startsWith(text.toLowerCase()))
        if (found.length > 1) throw new SlipwayError('conflict', `Several commits begin with ${text}.`)
        if (found[0] === undefined) throw new SlipwayError('not_found', `There is no commit ${text}.`)
        return found[0]
      },
      countBetween: async () => counted.between,
      async describeCommits(_app, ids) {
        if (ids.includes(unreadable)) throw new Error('git does not answer')
        const there = ids.filter((id) => /^c0ffee/.test(id))
        return new Map(
          there.map((id) => [id, { id, author: 'Ada', at: new Date(0), subject: `Change ${id.slice(-1)}` }]),
        )
      },
      listBetween: async (_app, { to }) => [
        { id: to, author: 'Ada', at: new Date('2026-01-02T03:04:05Z'), subject: 'Change it' },
      ],
    },
    running: { find: async (id) => ({ serving: running.get(id) ?? null, beside: [] }) },
    examine: async () => findings,
    runtimeLogs: {
      assertCursor(text) {
        if (!/^[\x21-\x7e]+$/.test(text)) throw new SlipwayError('bad_request', 'That is no cursor.')
      },
      async assertRelease(_id, release) {
        if (release > 9) throw new SlipwayError('not_found', `There is no release v${release}.`)
      },
      async *read(_id, { tail, after, follow, signal }) {
        const from = after === null ? 0 : runtimeLines.findIndex((line) => line.cursor === after) + 1
        let next = Math.max(from, runtimeLines.length - tail)
        for (;;) {
          for (; next < runtimeLines.length; next += 1) yield runtimeLines[next] as RuntimeLogLine
          if (!follow || signal.aborted) return
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      },
    },
    readiness: [
      { name: 'database', check: async () => void (await pool.query('select 1')) },
      {
        name: 'engine',
        check: async () => {
          if (readiness.fails !== null) throw readiness.fails
        },
      },
    ],
    runs: {
      begin: async () => ({ id: '0123456789abcdef', releaseNumber: 7 }),
      appOf: (id) => (id === '0123456789abcdef' ? 'shop' : null),
    },
    logger: recordingLogger(logged),
    gitHandler: (req, res) => {
      gitPaths.push(`${req.method} ${req.url}`)
      req.resume()
      res.status(200).type('text/plain').send('git\n')
    },
  } satisfies Omit<
    HttpAppOptions,
    | 'activity'
    | 'statuses'
    | 'accounts'
    | 'environments'
    | 'vars'
    | 'revocation'
    | 'cron'
    | 'protection'
    | 'releases'
    | 'rollbacks'
    | 'promotions'
    | 'deployPlans'
    | 'rotation'
    | 'db'
    | 'facts'
    | 'closing'
    | 'locks'
    | 'maintenance'
    | 'removals'
    | 'setDefaultBranch'
  >
  return {
    running,
    counted,
    goingOn,
    runtimeLines,
    tips,
    readiness,
    logged,
    gitPaths,
    findings,
    deploys,
    parts,
  }
}

/** A removal waits for what the test lets run. */
function makeClosing(deploys: ScriptedDeploys) {
  const findOpen = async (environmentId: number): Promise<number | null> =>
    (await deploys.list(environmentId, { limit: 50 })).find(({ state }) => !hasEnded(state))?.id ?? null
  return {
    async closeLine(
      _tx: unknown,
      { environmentId, by, cancel }: { environmentId: number; by: string; cancel: boolean },
    ) {
      const open = await findOpen(environmentId)
      if (open !== null && cancel) await deploys.cancel(open, by)
      return open
    },
    async takeDown({ id }: { id: number }, signal: AbortSignal) {
      while ((await findOpen(id)) !== null) await systemClock.sleep(20, signal)
    },
    wake: () => deploys.wake(),
  }
}

async function findEnvironment(pool: Pool, id: number) {
  const rows = await pool.query<{ app_id: number; app: string; environment: string; label: string; live: boolean }>(
    `select e.app_id, a.name as app, e.name as environment, e.label, e.live
     from environments e join apps a on a.id = e.app_id where e.id = $1`,
    [id],
  )
  const { app_id: appId, ...its } = rows[0] as NonNullable<(typeof rows)[0]>
  return { environmentId: id, appId, ...its }
}

function recordingLogger(logged: ApiServer['logged']): Logger {
  const record = (message: string, fields: Record<string, unknown> = {}): void => void logged.push({ message, fields })
  const logger: Logger = { error: record, warn: record, info: record, debug: record, child: () => logger }
  return logger
}
