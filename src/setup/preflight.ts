import { constants, readFileSync } from 'node:fs'
import { access, chmod, mkdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { SlipwayError } from '../kernel/errors.ts'
import { type FileLock, lockFile, readLockHolder } from '../kernel/file-lock.ts'
import { removeHalfWritten } from '../kernel/whole-file.ts'

/**
 * The data folder's parts and who may enter them. Other users (the database's, the proxy's) pass through the folder and `run/` to what is
 * theirs, and cannot list either.
 */
const layout = {
  '': 0o711,
  run: 0o711,
  logs: 0o700,
  repositories: 0o700,
  postgres: 0o711,
  proxy: 0o700,
} as const

/** An address of a Unix socket has room for 107 bytes; the longest that lies in `run/` needs 40 behind the data folder. */
const longestDataDir = 107 - 40

/** Makes the data folder with its parts. Safe to repeat; modes are mended. */
export async function prepareDataDir(dataDir: string): Promise<void> {
  if (Buffer.byteLength(dataDir) > longestDataDir) {
    throw new SlipwayError(
      'unavailable',
      `The path of the data folder ${dataDir} is too long for Unix sockets in it.`,
      {
        hint: `Set SLIPWAY_DATA to a path of at most ${longestDataDir} bytes.`,
      },
    )
  }
  try {
    for (const [name, mode] of Object.entries(layout)) {
      const path = join(dataDir, name)
      await mkdir(path, { recursive: true, mode })
      await access(path, constants.W_OK | constants.X_OK)
      await chmod(path, mode)
    }
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? 'unknown'
    throw new SlipwayError('unavailable', `The data folder ${dataDir} cannot be written (${why}).`, {
      hint: 'Give it to the user that runs Slipway, or set SLIPWAY_DATA to another folder.',
      cause,
    })
  }
}

/**
 * One server for each data folder, for as long as this process lives (kernel lock: a killed holder's is free at once). What a killed one was
 * just writing is removed.
 */
export async function lockDataDir(dataDir: string): Promise<FileLock> {
  const path = join(dataDir, 'run', 'server.lock')
  const lock = await lockFile(path, { waitMs: 0 })
  if (lock !== null) {
    for (const folder of ['', 'proxy', 'proxy/maps', 'proxy/pages']) await removeHalfWritten(join(dataDir, folder))
    return lock
  }
  throw new SlipwayError(
    'conflict',
    `Another Slipway (pid ${readLockHolder(path) ?? 'unknown'}) runs with the data folder ${dataDir}.`,
    { hint: 'Stop that one first, or give this one its own SLIPWAY_DATA, SLIPWAY_INSTALLATION and SLIPWAY_HTTP_PORT.' },
  )
}

/** Throws when somebody listens on the port already. The proxy of an earlier run does: ask this only when none runs. */
export async function assertPortFree(bind: string, port: number): Promise<void> {
  const server = createServer()
  const failure = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    server.once('error', resolve)
    server.listen({ host: bind, port, exclusive: true }, () => resolve(null))
  })
  if (failure === null) {
    await new Promise((resolve) => server.close(resolve))
    return
  }
  const hints: Record<string, string> = {
    EADDRINUSE: `Set SLIPWAY_HTTP_PORT to a free port, or stop what listens there (ss -ltnp 'sport = :${port}').`,
    EACCES: 'Ports below 1024 are for root: set SLIPWAY_HTTP_PORT to a higher one.',
    EADDRNOTAVAIL: 'Set SLIPWAY_BIND to an address of this machine, or to 0.0.0.0.',
  }
  const code = failure.code ?? ''
  const sentence =
    code === 'EADDRINUSE' ? `Port ${port} on ${bind} is taken.` : `Port ${port} on ${bind} cannot be used (${code}).`
  throw new SlipwayError('conflict', sentence, { hint: hints[code] ?? 'Set SLIPWAY_HTTP_PORT or SLIPWAY_BIND.' })
}

/**
 * Refuses a user who may use the engine but not write the firewall around apps and builds (the group “docker”): it would be found out when the
 * networks are made already. `status` is /proc/self/status.
 */
export function assertMayFilter(status = readFileSync('/proc/self/status', 'utf8')): void {
  const netAdmin = 12n
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
  if (((effective >> netAdmin) & 1n) === 1n) return
  throw new SlipwayError(
    'unavailable',
    'This user may not write the firewall that Slipway puts around apps and builds.',
    {
      hint: 'Run Slipway as root: sudo npm start',
    },
  )
}

/** A route of the host: IPv4 network, as numbers. */
export interface Route {
  readonly device: string
  readonly network: number
  readonly mask: number
}

/** Reads /proc/net/route, which needs no program: addresses in hexadecimal, lowest byte first. */
export function parseRoutes(table: string): Route[] {
  return table
    .split('\n')
    .slice(1)
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const fields = line.split('\t')
      return { device: fields[0] ?? '', network: reversed(fields[1] ?? '0'), mask: reversed(fields[7] ?? '0') }
    })
}

function reversed(hex: string): number {
  return Buffer.from(hex.padStart(8, '0'), 'hex').readUInt32LE()
}

/** The first route that shares addresses with the range; the default route and our own bridges do not count. */
export function findClash(range: string, routes: readonly Route[], isOurs: (device: string) => boolean): Route | null {
  const [address = '', bits = '0'] = range.split('/')
  const mask = maskOf(Number(bits))
  const network = (toNumber(address) & mask) >>> 0
  const clashes = (route: Route): boolean => {
    const common = (mask & route.mask) >>> 0
    return route.mask !== 0 && (network & common) >>> 0 === (route.network & common) >>> 0 && !isOurs(route.device)
  }
  return routes.find(clashes) ?? null
}

/** Refuses a range for instances that the host already reaches in another way. */
export function assertNetworkFree(range: string, isOurs: (device: string) => boolean): void {
  const clash = findClash(range, parseRoutes(readFileSync('/proc/net/route', 'utf8')), isOurs)
  if (clash === null) return
  const taken = `${toAddress(clash.network)}/${clash.mask.toString(2).replaceAll('0', '').length}`
  throw new SlipwayError('conflict', `The network ${range} for instances clashes with ${taken} on ${clash.device}.`, {
    hint: 'Set SLIPWAY_NETWORK to a private range that this machine does not use, such as 10.214.0.0/16.',
  })
}

function maskOf(bits: number): number {
  return bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0
}

function toNumber(address: string): number {
  return address.split('.').reduce((sum, byte) => ((sum << 8) | Number(byte)) >>> 0, 0)
}

function toAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.')
}
