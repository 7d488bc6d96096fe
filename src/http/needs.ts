import type { Activity } from '../activity/index.ts'
import type { Accounts } from '../accounts/index.ts'
import type { Cron } from '../cron/index.ts'
import type { DeployReads, Deploys, Locks, Processes } from '../deploys/index.ts'
import type { Finding } from '../doctor/index.ts'
import type { Environments } from '../environments/index.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Commit } from '../git/index.ts'
import type { Statuses } from '../status/index.ts'
import type { MaintenanceMode, Protections } from '../protection/index.ts'
import type { Runs } from '../runs/index.ts'
import type { Database } from '../postgres/database.ts'
import type { Removals } from '../removals/index.ts'
import type { DeployPlans } from '../deploy-plans/index.ts'
import type { Promotions } from '../promotions/index.ts'
import type { Releases } from '../releases/index.ts'
import type { Rollbacks } from '../rollbacks/index.ts'
import type { KeyRotation, Revocation, Vars } from '../vars/index.ts'

/** What the HTTP side needs of the rest; server/open-doors.ts gives it. */
export interface HttpNeeds {
  readonly accounts: Accounts
  readonly environments: Environments
  readonly protection: Protections
  readonly vars: Vars
  readonly cron: Pick<Cron, 'list' | 'listRuns' | 'getRun' | 'runNow' | 'waitForEnd'>
  readonly revocation: Revocation
  readonly rotation: Pick<KeyRotation, 'begin' | 'countLeft'>
  readonly deploys: Pick<
    Deploys,
    | 'request'
    | 'stopServing'
    | 'startServing'
    | 'wake'
    | 'get'
    | 'list'
    | 'cancel'
    | 'follow'
    | 'findDifferences'
    | 'reconcile'
  >
  readonly processes: Processes
  readonly releases: Releases
  readonly locks: Locks
  readonly rollbacks: Rollbacks
  readonly promotions: Promotions
  readonly deployPlans: DeployPlans
  readonly maintenance: MaintenanceMode
  /** Looks at the machine and at what Slipway stands on. */
  readonly examine: () => Promise<Finding[]>
  readonly reads: Pick<DeployReads, 'readLog' | 'newestLine' | 'countByState' | 'hasReleaseAddress'>
  readonly activity: Activity
  readonly statuses: Pick<Statuses, 'list' | 'ofApp'>
  readonly db: Database
  readonly commits: Commits
  readonly runs: Pick<Runs, 'begin' | 'appOf'>
  readonly removals: Pick<Removals, 'beginEnvironment' | 'beginApp'>
  readonly setDefaultBranch: (app: string, branch: string, by: string) => Promise<void>
  readonly running: RunningReleases
  readonly runtimeLogs: RuntimeLogs
  readonly facts: Facts
  readonly readiness: readonly ReadinessProbe[]
  readonly logger: Logger
  readonly limits: HttpLimits
  /** Fires when the server stops: event streams say so and end, so that their readers come back later. */
  readonly closing: AbortSignal
}

/** What this server is, for people and clients. Holds no secrets. */
export interface Facts {
  readonly version: string
  readonly domain: string
  readonly urls: {
    /** Where the API, Git and this page are; no slash at the end. */
    readonly control: string
    git(app: string): string
    environment(label: string): string
    release(label: string, releaseNumber: number): string
  }
}

/** Commits of an app's repository, as far as asking for a deploy needs them. */
interface Commits {
  /** Full id of the newest commit of a branch; null when the branch (or the repository) is not there. */
  tipOf(app: string, branch: string): Promise<string | null>
  /** Full id of the commit named by a branch, a tag, or the first 4 or more characters of an id; `not_found` for none, `conflict` for several. */
  resolveCommit(app: string, text: string): Promise<string>
  /**
   * How many commits only `to` has behind it, and only `from` (null: there is none, so all count); null when one of them is not there any
   * more.
   */
  countBetween(app: string, from: string | null, to: string): Promise<{ added: number; left: number } | null>
  /** Those of these commits that are still there, by id. */
  describeCommits(app: string, ids: readonly string[]): Promise<ReadonlyMap<string, Commit>>
  /** The newest commits that `to` has behind it and `from` has not. */
  listBetween(app: string, range: { from: string | null; to: string; limit: number }): Promise<Commit[]>
}

export interface RunningReleases {
  /**
   * What the environment's route points to (null when nothing is live), and what runs beside it: the new one while it starts
   * and is checked, earlier ones that drain. An instance that the engine says nothing about is `unknown`. With `use` also
   * what each of them uses, which takes half a second.
   */
  find(environmentId: number, options?: { use?: boolean }): Promise<Running>
}

export interface Running {
  readonly serving: RunningRelease | null
  readonly beside: readonly BesideRelease[]
}

export interface BesideRelease {
  readonly release: number
  readonly deployId: number
  /** `awake`: somebody asked for it at its own address; `warm`: it is kept as it was, for a way back. */
  readonly state: 'starting' | 'draining' | 'warm' | 'awake'
  readonly instances: readonly RunningInstance[]
}

export interface RunningRelease {
  readonly release: number
  readonly commit: string
  /** Since when the route points to it. */
  readonly since: Date
  readonly instances: readonly RunningInstance[]
}

export interface RunningInstance {
  readonly name: string
  /**
   * `starting`: a worker before its first start, which is right after the swap; `silent`: it runs, but nothing listens on its
   * port; `crashed`: it ended, and is not back yet.
   */
  readonly state: 'starting' | 'running' | 'silent' | 'restarting' | 'stopped' | 'crashed' | 'unknown'
  /** How often it ended and was started again, as far as anybody counted. */
  readonly restarts: number
  readonly startedAt: Date | null
  /** Null unless asked for, and when nobody knows. Of one core; more than 100 when it uses several. */
  readonly use: { readonly memoryBytes: number; readonly cpuPercent: number } | null
  /** Null while it takes requests and does not end again and again. */
  readonly crash: {
    readonly since: Date
    readonly exitCode: number | null
    readonly outOfMemory: boolean
    /** Why it could not be started again the last time, and what to do; null: it could. */
    readonly startError: string | null
    /** It ends again and again. */
    readonly isLoop: boolean
  } | null
}

/** What the instances of an environment print, what the proxy says of its requests, and the logs of its deploys. */
export interface RuntimeLogs {
  /**
   * The newest `tail` lines of what is asked for, by time, those of instances that are gone included; with `after` all that
   * come behind that cursor. Ends then, or with `follow` goes on with what is added, by later releases too, until the signal
   * fires. Reads no faster than it is read. Errors: `bad_request` for a cursor that is none of these logs’.
   */
  read(environmentId: number, options: RuntimeLogOptions): AsyncIterable<RuntimeLogLine>
  /** Throws `bad_request` for a text that no line had as its cursor: before an answer is begun. */
  readonly assertCursor: (text: string) => void
  /** Throws `not_found` when the environment never had this release. */
  assertRelease(environmentId: number, release: number): Promise<void>
}

export type LogSourceName = 'app' | 'router' | 'deploy'

export interface RuntimeLogOptions {
  readonly tail: number
  readonly since: Date | null
  /** Only of this release. */
  readonly release: number | null
  /** Only of this process, or of one instance of it: `worker`, `worker.2`. */
  readonly process: string | null
  readonly sources: readonly LogSourceName[]
  readonly after: string | null
  readonly follow: boolean
  readonly signal: AbortSignal
}

export interface RuntimeLogLine {
  /** Where to go on after this line: printable ASCII. From outside it may come back as anything of that shape. */
  readonly cursor: string
  readonly at: Date
  readonly source: LogSourceName
  /** `v12`; null for what is not of one release. */
  readonly release: string | null
  /** Whose line it is, for people: `web.1`, `router`, `deploy 57`. */
  readonly instance: string
  /** Not sanitised. */
  readonly text: string
}

export interface ReadinessProbe {
  readonly name: string
  /** Resolves when it answers; anything thrown is the reason why not. Given up after 2 s. */
  readonly check: () => Promise<void>
}

export interface HttpLimits {
  readonly bodyBytes: number
  /** For the whole body of an API call. */
  readonly bodyMs: number
  /** Between two signs of life on a silent event stream. */
  readonly pingMs: number
  /** How long a reader may leave what was sent to it unread before it is cut off. */
  readonly stallMs: number
  readonly openStreams: number
}

export const defaultLimits: HttpLimits = {
  bodyBytes: 1024 * 1024,
  bodyMs: 30_000,
  pingMs: 15_000,
  stallMs: 60_000,
  openStreams: 200,
}
