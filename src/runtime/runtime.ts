import type { SlipwayError } from '../kernel/errors.ts'
import type { Secret } from '../kernel/secret.ts'

/**
 * Runs instances on a host. Declared by runtime, implemented by `adapters/docker`.
 *
 * What does not answer is unknown, never gone: every method throws `unavailable` or `timeout` then, and only an engine that
 * answers "no such container" makes `inspect` return null. Only containers that carry this installation's label are
 * listed, stopped or removed.
 */
export interface Runtime {
  /**
   * Makes the isolated bridges and the firewall, or finds them; safe to repeat. Returns what addresses may be given to
   * instances.
   */
  prepare(): Promise<AddressRange>
  /**
   * Creates and starts an instance. A container of the same name with the same labels is adopted (started when it stopped
   * before it ran, or made anew when it has other variables). Until `keepRunning` nothing brings it back when it ends, so that its exit code and log can be read.
   * Errors: `start_failed` (the image, its command or a limit), `conflict` (a foreign container of that name, untouched). A
   * start that failed leaves no container.
   */
  start(spec: InstanceSpec, signal: AbortSignal): Promise<Instance>
  /**
   * Runs a command in a throw-away container of the image and waits for it; a container of the same name is adopted, never
   * run twice. The container stays until `remove`, so that its exit code can be read again after a crash; the output of an
   * adopted one comes again from its beginning. On abort and when the time is over: SIGTERM, then SIGKILL after 10 s.
   */
  run(spec: InstanceSpec & { readonly argv: readonly string[] }, options: RunOptions): Promise<Exit>
  /**
   * From now on the engine brings the instance back when it ends or the machine restarts, until `stop`. Called when its
   * checks have passed. Safe to repeat; `not_found` when it is gone.
   */
  keepRunning(containerId: string): Promise<void>
  /**
   * From now on the engine does not bring it back any more, also when it is about to: its next end is its last. Safe to repeat, also
   * on a container that is gone.
   */
  letEnd(containerId: string): Promise<void>
  inspect(containerId: string): Promise<Instance | null>
  /** Runs a command in a running instance. Its output is cut at 64 KiB. */
  exec(
    containerId: string,
    argv: readonly string[],
    options: { timeoutMs: number; signal: AbortSignal },
  ): Promise<{ exitCode: number; output: string[] }>
  /** The newest `tail` lines of both streams, oldest first, not sanitised. */
  logs(containerId: string, tail: number): Promise<string[]>
  /**
   * What a container printed, oldest first, and what it goes on printing, until it ends or the signal fires; as much at a
   * time as came together. One that has ended: what the engine still has of it.
   */
  readLog(containerId: string, options: InstanceLogOptions): AsyncIterable<readonly InstanceLogLine[]>
  /** Where the processes of a running instance listen for TCP; null when this host cannot tell. */
  listeners(containerId: string): Promise<Listener[] | null>
  /** SIGTERM, then SIGKILL after `graceMs`. Safe to repeat, also on a container that is gone. */
  stop(containerId: string, graceMs: number): Promise<void>
  remove(containerId: string): Promise<void>
  /** All containers of this installation, running or not; of one deploy, or of one run of a job, when it is given. */
  list(of?: { readonly deploy?: number; readonly cronRun?: number }): Promise<Instance[]>
  /** All containers of this installation in one call to the engine, whatever their number. */
  survey(): Promise<SeenContainer[]>
  /**
   * Calls back when a container of this installation dies, is killed for memory, starts or is removed, and with `resync`
   * each time the stream begins, the first included: whoever looks at what is there then misses nothing. Reconnects by
   * itself; ends with the signal.
   */
  watch(onChange: (change: InstanceChange) => void, signal: AbortSignal): void
}

export interface AddressRange {
  /** CIDR of the bridge that new instances join, e.g. 10.213.0.0/22. */
  readonly subnet: string
  /** Addresses inside it that must not be given away (gateway, the engine's own range). */
  readonly reserved: readonly string[]
}

export interface InstanceSpec {
  readonly name: string
  /** Config digest; never a tag. */
  readonly image: string
  readonly labels: Readonly<Record<string, string>>
  readonly env: Readonly<Record<string, string | Secret>>
  /** In place of the image's entrypoint and command. */
  readonly argv?: readonly string[]
  /**
   * Starts it at the last moment, or resolves with the reason why it must not start any more: then no container of it stays. Left
   * out: it may.
   */
  readonly startUnlessRefused?: (start: () => Promise<void>) => Promise<SlipwayError | null>
  /** IPv4 address on the instances' bridge; null lets release commands share a pool of the engine's own. */
  readonly address: string | null
  readonly limits: InstanceLimits
}

export interface InstanceLimits {
  readonly memoryBytes: number
  readonly cpus: number
  readonly pids: number
}

export interface RunOptions {
  readonly onLine: (line: string) => void
  /** Resolves when more lines may come; the output is read no faster. */
  readonly room?: () => Promise<void>
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

export interface Exit {
  readonly exitCode: number
  readonly outOfMemory: boolean
}

export interface Instance {
  readonly containerId: string
  readonly name: string
  readonly image: string
  readonly labels: Readonly<Record<string, string>>
  readonly address: string | null
  readonly state: 'created' | 'running' | 'restarting' | 'exited'
  /** How often the restart policy brought it back. */
  readonly restarts: number
  /** The engine brings it back when it ends. */
  readonly isKept: boolean
  readonly exitCode: number | null
  readonly outOfMemory: boolean
  readonly createdAt: Date
  readonly startedAt: Date | null
}

/** What the engine tells of a container without being asked for it by itself. */
export type SeenContainer = Pick<Instance, 'containerId' | 'name' | 'labels' | 'state' | 'createdAt'>

export interface InstanceLogOptions {
  /** Only lines of this moment and later, by their times; null: all that the engine has. */
  readonly since: string | null
  /** At most so many of the newest lines that are there already; without it all of them. */
  readonly newest?: number
  readonly signal: AbortSignal
}

export interface InstanceLogLine {
  /** The engine's time, RFC 3339 with nine decimals: sorts as text, and `since` takes it. */
  readonly at: string
  readonly output: 'stdout' | 'stderr'
  /** Not sanitised. A line of more than 8 KiB is cut shortly behind that. */
  readonly text: string
}

export interface Listener {
  readonly address: string
  readonly port: number
}

export interface InstanceChange {
  readonly kind: 'started' | 'died' | 'removed' | 'resync'
  readonly containerId: string | null
  readonly labels: Readonly<Record<string, string>>
  /** Of one that died, when the engine says it. */
  readonly exitCode?: number
}

/** The labels that Slipway puts on everything it makes, and the only things it goes by. */
export const labelNames = {
  installation: 'slipway.installation',
  /** On networks: the data folder that the installation's containers belong to. */
  owner: 'slipway.owner',
  app: 'slipway.app',
  environment: 'slipway.environment',
  release: 'slipway.release',
  deploy: 'slipway.deploy',
  build: 'slipway.build',
  /**
   * Of an instance: `web`, `worker`, …; its place among those of its process; its release for people, `v12`. Jobs and release commands are
   * `cron.<label>` and `release.<label>`.
   */
  process: 'slipway.process',
  position: 'slipway.position',
  version: 'slipway.version',
  /** Which of its release's variables it has: another one after every value that was taken out of them; none before the first. */
  variables: 'slipway.variables',
  /** The run of a job (`cron`) whose container it is. Such a one carries no deploy: it outlives the release’s instances. */
  cronRun: 'slipway.cron-run',
  /** Of `slipway run`: which run, as its server counts. */
  run: 'slipway.run',
  /** `instance`, `command` (a release command), `cron` (a run of a job), `run` (of `slipway run`) or `build`. */
  kind: 'slipway.kind',
} as const
