import { homedir } from 'node:os'
import { isIPv4 } from 'node:net'
import { join } from 'node:path'
import { z } from 'zod'
import { SlipwayError } from './kernel/errors.ts'
import { Secret } from './kernel/secret.ts'

/*
 * The only reader of the environment. Every setting stands in .env.example with its meaning; a test holds the two against
 * each other.
 */

const number = (error: string) => z.coerce.number({ error })
const portError = 'must be a port, 1 to 65535'
const port = number(portError).int(portError).min(1, portError).max(65535, portError)
const cidr = z.string().refine(isCidr, 'must be an IPv4 range such as 10.213.0.0/16')
const list = (item: z.ZodString) =>
  z
    .string()
    .transform((text) => text.split(/[\s,]+/).filter((part) => part !== ''))
    .pipe(z.array(item))
const hostName = z
  .string()
  .regex(
    /^(?=.{1,200}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/,
    'must be a host name in lower case',
  )
const wholeError = 'must be a whole number, at least 1'
const whole = number(wholeError).int(wholeError).min(1, wholeError)
const positiveError = 'must be a number above 0'
const positive = number(positiveError).positive(positiveError)

const schema = z.object({
  SLIPWAY_DATA: z.string().startsWith('/', 'must be an absolute path').optional(),
  SLIPWAY_INSTALLATION: z
    .string()
    .regex(/^[a-z](?:[a-z0-9-]{0,14}[a-z0-9])?$/, 'must be 1 to 16 characters a–z, 0–9 and hyphens')
    .default('default'),
  SLIPWAY_DOMAIN: hostName.default('localhost'),
  SLIPWAY_CONTROL_HOST: hostName.optional(),
  SLIPWAY_HTTP_PORT: port.default(8080),
  SLIPWAY_BIND: z.string().refine(isIPv4, 'must be an IPv4 address').default('127.0.0.1'),
  SLIPWAY_NETWORK: cidr.default('10.213.0.0/16'),
  SLIPWAY_DENY_NETWORKS: list(cidr).default([]),
  DATABASE_URL: z
    .string()
    .regex(/^postgres(?:ql)?:\/\//, 'must begin with postgres://')
    .optional(),
  DOCKER_HOST: z
    .string()
    .regex(/^unix:\/\/\/.+/, 'must be the Unix socket of a local engine (unix:///…) for now')
    .default('unix:///var/run/docker.sock'),
  SLIPWAY_BUILD_PULL: z.enum(['always', 'missing'], { error: 'must be always or missing' }).default('always'),
  SLIPWAY_BUILD_MEMORY_MB: whole.default(2048),
  SLIPWAY_BUILD_CPUS: positive.optional(),
  SLIPWAY_BUILD_SLOTS: whole.optional(),
  SLIPWAY_BUILD_TIMEOUT_MINUTES: positive.default(30),
  SLIPWAY_CRON_SLOTS: whole.default(4),
  SLIPWAY_MAX_PUSH_MB: whole.default(1024),
  SLIPWAY_KEEP_RELEASES: whole.default(10),
  SLIPWAY_KEEP_DAYS: whole.default(90),
  SLIPWAY_DISK_FLOOR_MB: whole.optional(),
  SLIPWAY_MEMORY_FLOOR_MB: whole.optional(),
  SLIPWAY_RELEASE_IDLE_MINUTES: positive.default(15),
  SLIPWAY_RUN_HOURS: positive.default(24),
  SLIPWAY_RUNS: whole.default(20),
  SLIPWAY_RUNS_PER_ENVIRONMENT: whole.default(5),
  SLIPWAY_NIGHTLY_AT: z
    .string()
    .regex(/^(?:[01][0-9]|2[0-3]):[0-5][0-9]$/, 'must be a time of day such as 03:30')
    .default('03:30'),
  SLIPWAY_TRUSTED_PROXIES: list(cidr).default([]),
  SLIPWAY_LOG_LEVEL: z
    .enum(['error', 'warn', 'info', 'debug'], { error: 'must be error, warn, info or debug' })
    .default('info'),
  SLIPWAY_LOG_DAYS: positive.default(30),
  SLIPWAY_LOG_RELEASE_MB: whole.default(50),
  SLIPWAY_LOG_ENVIRONMENT_MB: whole.default(200),
  SLIPWAY_ROUTER_LOG: z.enum(['on', 'errors', 'off'], { error: 'must be on, errors or off' }).default('errors'),
  SLIPWAY_SECRET_KEY: z.string().min(32, 'must have at least 32 characters').optional(),
  SLIPWAY_KEPT_BY: z.enum(['systemd', 'compose'], { error: 'must be systemd or compose' }).optional(),
  SLIPWAY_ADMIN_TOKEN: z.string().min(20, 'must have at least 20 characters').optional(),
})

export interface Settings {
  readonly dataDir: string
  readonly installation: string
  readonly domain: string
  readonly controlHost: string
  readonly httpPort: number
  readonly bind: string
  /** CIDR from which the bridges of instances and builds are cut. */
  readonly network: string
  readonly denyNetworks: readonly string[]
  /** null: an own cluster in the data folder. */
  readonly databaseUrl: Secret | null
  /** Path of the engine's Unix socket. */
  readonly dockerSocket: string
  readonly build: {
    readonly pull: 'always' | 'missing'
    readonly memoryBytes: number
    /** null: all cores but a half. */
    readonly cpus: number | null
    readonly slots: number | null
    readonly timeoutMs: number
  }
  /** So many runs of jobs go at once. */
  readonly cronSlots: number
  readonly maxPushBytes: number
  /** What is kept of releases that do not run. */
  readonly keep: {
    readonly releases: number
    /** Logs of deploys whose release is not kept, and events. */
    readonly days: number
  }
  /** Below it nothing is built; null: chosen by the disk's size. */
  readonly diskFloorBytes: number | null
  /** What a start must leave of the host's memory; null: chosen by how much there is. */
  readonly memoryFloorBytes: number | null
  /** So long nobody must have used an old release that was started for its own address, until it is stopped. */
  readonly releaseIdleMs: number
  /** Of `slipway run`. */
  readonly runs: { readonly timeMs: number; readonly overall: number; readonly perEnvironment: number }
  /** Local time, `03:30`. */
  readonly nightlyAt: string
  readonly trustedProxies: readonly string[]
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug'
  /** Which requests the proxy tells of. */
  readonly routerLog: 'on' | 'errors' | 'off'
  /** How much is kept of what instances print. */
  readonly logs: {
    readonly releaseBytes: number
    readonly environmentBytes: number
    readonly ageMs: number
  }
  /** null: made on the first start and kept in the data folder. */
  readonly secretKey: Secret | null
  readonly adminToken: Secret | null
  /** Who starts the proxy and the database and brings them back; null: Slipway itself, apart from its own process. */
  readonly keptBy: 'systemd' | 'compose' | null
  /** For tests of crashes: where the server ends itself (SLIPWAY_FAULT_POINT, no setting for people). */
  readonly faultPoint: string | null
}

/** Reads and checks all settings; throws one `bad_request` that names every mistake. */
export function readSettings(env: Readonly<Record<string, string | undefined>> = process.env): Settings {
  // An empty value is the same as none: that is what `SLIPWAY_X=` in an env file means.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''))
  const parsed = schema.safeParse(given)
  const unknown = Object.keys(given).filter((name) => name.startsWith('SLIPWAY_') && !known.has(name))
  if (!parsed.success || unknown.length > 0) {
    const mistakes = [
      ...(parsed.error?.issues ?? []).map((issue) => `${issue.path.join('.')} ${issue.message}`),
      ...unknown.map((name) => `${name} is not a setting of Slipway`),
    ]
    throw new SlipwayError('bad_request', `The settings cannot be used: ${mistakes.join('; ')}.`, {
      hint: 'Correct these environment variables; .env.example explains each.',
    })
  }
  const s = parsed.data
  const mb = 1024 * 1024
  return {
    dataDir: s.SLIPWAY_DATA ?? defaultDataDir(given),
    installation: s.SLIPWAY_INSTALLATION,
    domain: s.SLIPWAY_DOMAIN,
    controlHost: s.SLIPWAY_CONTROL_HOST ?? `slipway.${s.SLIPWAY_DOMAIN}`,
    httpPort: s.SLIPWAY_HTTP_PORT,
    bind: s.SLIPWAY_BIND,
    network: s.SLIPWAY_NETWORK,
    denyNetworks: s.SLIPWAY_DENY_NETWORKS,
    databaseUrl: s.DATABASE_URL === undefined ? null : new Secret(s.DATABASE_URL),
    dockerSocket: s.DOCKER_HOST.slice('unix://'.length),
    build: {
      pull: s.SLIPWAY_BUILD_PULL,
      memoryBytes: s.SLIPWAY_BUILD_MEMORY_MB * mb,
      cpus: s.SLIPWAY_BUILD_CPUS ?? null,
      slots: s.SLIPWAY_BUILD_SLOTS ?? null,
      timeoutMs: s.SLIPWAY_BUILD_TIMEOUT_MINUTES * 60_000,
    },
    cronSlots: s.SLIPWAY_CRON_SLOTS,
    maxPushBytes: s.SLIPWAY_MAX_PUSH_MB * mb,
    keep: { releases: s.SLIPWAY_KEEP_RELEASES, days: s.SLIPWAY_KEEP_DAYS },
    diskFloorBytes: s.SLIPWAY_DISK_FLOOR_MB === undefined ? null : s.SLIPWAY_DISK_FLOOR_MB * mb,
    memoryFloorBytes: s.SLIPWAY_MEMORY_FLOOR_MB === undefined ? null : s.SLIPWAY_MEMORY_FLOOR_MB * mb,
    releaseIdleMs: s.SLIPWAY_RELEASE_IDLE_MINUTES * 60_000,
    runs: {
      timeMs: s.SLIPWAY_RUN_HOURS * 3_600_000,
      overall: s.SLIPWAY_RUNS,
      perEnvironment: s.SLIPWAY_RUNS_PER_ENVIRONMENT,
    },
    nightlyAt: s.SLIPWAY_NIGHTLY_AT,
    trustedProxies: s.SLIPWAY_TRUSTED_PROXIES,
    logLevel: s.SLIPWAY_LOG_LEVEL,
    routerLog: s.SLIPWAY_ROUTER_LOG,
    logs: {
      releaseBytes: s.SLIPWAY_LOG_RELEASE_MB * mb,
      environmentBytes: s.SLIPWAY_LOG_ENVIRONMENT_MB * mb,
      ageMs: s.SLIPWAY_LOG_DAYS * 24 * 60 * 60_000,
    },
    secretKey: s.SLIPWAY_SECRET_KEY === undefined ? null : new Secret(s.SLIPWAY_SECRET_KEY),
    adminToken: s.SLIPWAY_ADMIN_TOKEN === undefined ? null : new Secret(s.SLIPWAY_ADMIN_TOKEN),
    keptBy: s.SLIPWAY_KEPT_BY ?? null,
    faultPoint: given[faultPointVariable] ?? null,
  }
}

const faultPointVariable = 'SLIPWAY_FAULT_POINT'

/** Those not in the schema are read by the launcher and the command line, and the last one is for tests. */
const known = new Set([...Object.keys(schema.shape), 'SLIPWAY_YES', 'SLIPWAY_URL', 'SLIPWAY_TOKEN', faultPointVariable])

/** The folder that holds everything: /var/lib/slipway as root, else below $XDG_STATE_HOME. Also called by the launcher. */
function defaultDataDir(env: Readonly<Record<string, string | undefined>>): string {
  if (process.getuid?.() === 0) return '/var/lib/slipway'
  return join(env['XDG_STATE_HOME'] ?? join(homedir(), '.local', 'state'), 'slipway')
}

function isCidr(value: string): boolean {
  const [address = '', bits = '', ...rest] = value.split('/')
  return rest.length === 0 && isIPv4(address) && /^(?:[0-9]|[12][0-9]|3[0-2])$/.test(bits)
}
