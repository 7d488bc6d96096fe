import { z } from 'zod'
import { invalid, type KnownKeys, mistakesOf } from './app-config-mistakes.ts'
import { durationMs, insidePath, line, sizeBytes, statusRange } from './app-config-units.ts'
import { type CronJob, cronJobKeys, cronSchema, toCronJobs } from './cron-jobs.ts'
import {
  type ProcessConfig,
  type Procfile,
  processesSchema,
  processKeys,
  readProcfile,
  toProcesses,
} from './processes.ts'
import { readYaml } from './yaml-text.ts'

/*
 * The app's own configuration, as it is frozen into a build: `slipway.yml` with its defaults filled in. Times are in
 * milliseconds, sizes in bytes.
 */

export interface AppConfig {
  readonly build: {
    /** Inside the context. */
    readonly dockerfile: string
    /** Folder of the repository; `.` is all of it. */
    readonly context: string
    readonly target: string | null
    readonly args: Readonly<Record<string, string>>
    readonly builder: 'auto' | 'engine' | 'buildkit'
  }
  /** null: the image's EXPOSE, else 8080. */
  readonly port: number | null
  readonly health: {
    /** null: a TCP connect, then GET / must not answer 5xx. */
    readonly path: string | null
    readonly status: { readonly from: number; readonly to: number }
    readonly intervalMs: number
    readonly timeoutMs: number
    readonly deadlineMs: number
  }
  readonly selfTests: readonly string[]
  readonly releaseCommands: readonly ReleaseCommand[]
  /** `web` is always there, and the first. Builds from before 0.2.0 have none: ask `processesOf`. */
  readonly processes?: readonly ProcessConfig[]
  /** Builds from before 0.2.0 have none: ask `cronJobsOf`. */
  readonly cron?: readonly CronJob[]
  /** How long the instances that served before stay as they are after a swap. Builds from before 0.2.0 have none: 0. */
  readonly keepWarmMs?: number
  /** Null, or left out in builds from before 0.2.0: nobody watches what went live. */
  readonly watch?: WatchConfig | null
  readonly drainMs: number
  readonly stopMs: number
  readonly resources: { readonly memoryBytes: number; readonly cpus: number; readonly pids: number }
}

/** What is watched after a swap, and goes back by itself. */
export interface WatchConfig {
  readonly ms: number
  /** The share of answers from 500 on above which it does, 0 to 1. */
  readonly errors: number
}

export interface ReleaseCommand {
  readonly label: string
  readonly run: string
  readonly on: readonly ('deploy' | 'promote')[]
  readonly timeoutMs: number
}

const command = line(4000)

const build = z.strictObject({
  dockerfile: insidePath.prefault('Dockerfile'),
  context: insidePath.prefault('.'),
  target: z
    .string({ error: 'must be the name of a stage' })
    .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/, 'must be the name of a stage')
    .nullable()
    .default(null),
  args: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'must be a name of letters, digits and _'),
      z.union([line(4000), z.number().transform(String), z.boolean().transform(String), z.literal('')], {
        error: 'must be one line of text or a number',
      }),
    )
    .default({}),
  builder: z.enum(['auto', 'engine', 'buildkit']).default('auto'),
})

const health = z.strictObject({
  path: line(1000)
    .refine((path) => /^\/[\x21-\x7e]*$/.test(path), 'must begin with / and hold no spaces')
    .nullable()
    .default(null),
  status: statusRange.prefault('200-399'),
  interval: durationMs({ from: '100ms', to: '5m' }).prefault('1s'),
  timeout: durationMs({ from: '100ms', to: '5m' }).prefault('5s'),
  deadline: durationMs({ from: '1s', to: '1h' }).prefault('60s'),
})

/** All release commands of a deploy: for as long the deploys after it wait. */
const longestReleaseMs = 24 * 3_600_000

const releaseCommand = z.strictObject({
  label: line(60).optional(),
  run: command,
  on: z
    .array(z.enum(['deploy', 'promote'], { error: 'must be deploy or promote' }), {
      error: 'must be a list such as [deploy, promote]',
    })
    .min(1, 'must name deploy, promote or both')
    .default(['deploy', 'promote']),
  timeout: durationMs({ from: '1s', to: '24h' }).prefault('30m'),
})

const resources = z.strictObject({
  // Below 6 MB the engine refuses to start a container.
  memory: sizeBytes({ from: '8m', to: '1024g' }).prefault('512m'),
  cpus: z.number({ error: 'must be a number such as 0.5 or 2' }).min(0.01).max(512).default(1),
  pids: z
    .number({ error: 'must be a whole number' })
    .int('must be a whole number')
    .min(8)
    .max(4096, 'must be at most 4096')
    .default(256),
})

const watchTime = durationMs({ from: '0', to: '1h' })
const watchErrors = z
  .string({ error: 'must be a share such as 20%' })
  .regex(/^(?:100|[1-9]?\d)%$/, 'must be a share such as 20%')
  .default('20%')
  .transform((text) => Number(text.slice(0, -1)) / 100)

/** `watch: 60s`, or with the share of errors. */
const watch = z.preprocess(
  (given) => (typeof given === 'object' ? given : { for: given }),
  z.strictObject({ for: watchTime, errors: watchErrors }),
)

const schema = z.strictObject({
  build: build.prefault({}),
  port: z
    .number({ error: 'must be a port from 1 to 65535' })
    .int('must be a port from 1 to 65535')
    .min(1, 'must be a port from 1 to 65535')
    .max(65535, 'must be a port from 1 to 65535')
    .nullable()
    .default(null),
  health: health.prefault({}),
  self_tests: z.array(command, { error: 'must be a list of commands' }).max(50).default([]),
  release: z
    .array(releaseCommand, { error: 'must be a list of commands' })
    .max(50)
    .refine(
      (commands) => commands.reduce((sum, { timeout }) => sum + timeout, 0) <= longestReleaseMs,
      'may take at most 24h together: give the commands shorter timeouts (30m unless given)',
    )
    .optional(),
  processes: processesSchema.optional(),
  cron: cronSchema.default([]),
  keep_warm: durationMs({ from: '0', to: '24h' }).prefault('0'),
  watch: watch.optional(),
  drain: durationMs({ from: '0', to: '24h' }).prefault('30s'),
  stop: durationMs({ from: '0', to: '1h' }).prefault('10s'),
  resources: resources.prefault({}),
})

/**
 * Reads `slipway.yml` and the `Procfile` (null: the commit has none). Throws one `config_invalid` that tells every mistake with
 * its line.
 */
export function parseAppConfig(
  text: string | null,
  procfileText: string | null,
): { config: AppConfig; warnings: readonly string[] } {
  const yaml = readYaml(text ?? '')
  if (yaml.mistakes.length > 0) throw invalid('slipway.yml', yaml.mistakes)
  // An empty file, or a section without content, means its defaults.
  const parsed = schema.safeParse(withoutEmptySections(yaml.value ?? {}), { reportInput: true })
  if (!parsed.success)
    throw invalid(
      'slipway.yml',
      parsed.error.issues.flatMap((issue) => mistakesOf(issue, yaml, sections)),
    )
  const procfile = readProcfile(procfileText ?? '')
  if (procfile.mistakes.length > 0) throw invalid('The Procfile', procfile.mistakes)
  return { config: toConfig(parsed.data, procfile), warnings: warningsOf(parsed.data, procfile) }
}

function warningsOf(given: z.infer<typeof schema>, procfile: Procfile): string[] {
  const warnings: string[] = []
  if (procfile.release !== null && given.release !== undefined)
    warnings.push('The Procfile’s release line is not used, because slipway.yml has release commands.')
  if (procfile.processes !== null && given.processes !== undefined)
    warnings.push('The Procfile’s processes are not used, because slipway.yml has processes.')
  return warnings
}

function toConfig(given: z.infer<typeof schema>, procfile: Procfile): AppConfig {
  const commands =
    given.release ??
    (procfile.release === null ? [] : [releaseCommand.parse({ label: 'release', run: procfile.release })])
  return {
    build: given.build,
    port: given.port,
    health: {
      path: given.health.path,
      status: given.health.status,
      intervalMs: given.health.interval,
      timeoutMs: given.health.timeout,
      deadlineMs: given.health.deadline,
    },
    selfTests: given.self_tests,
    releaseCommands: commands.map((one) => ({
      label: one.label ?? one.run.slice(0, 60),
      run: one.run,
      on: one.on,
      timeoutMs: one.timeout,
    })),
    processes: given.processes === undefined ? (procfile.processes ?? toProcesses({})) : toProcesses(given.processes),
    cron: toCronJobs(given.cron),
    keepWarmMs: given.keep_warm,
    watch:
      given.watch === undefined || given.watch.for === 0 ? null : { ms: given.watch.for, errors: given.watch.errors },
    drainMs: given.drain,
    stopMs: given.stop,
    resources: { memoryBytes: given.resources.memory, cpus: given.resources.cpus, pids: given.resources.pids },
  }
}

/** `health:` with nothing behind it is null in YAML; people mean "as it is". */
function withoutEmptySections(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).filter(([, section]) => section !== null))
}

const sections: KnownKeys = {
  '': Object.keys(schema.shape),
  build: Object.keys(build.shape),
  health: Object.keys(health.shape),
  resources: Object.keys(resources.shape),
  watch: ['for', 'errors'],
  release: Object.keys(releaseCommand.shape),
  processes: processKeys,
  cron: cronJobKeys,
}
