import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, chown, lchown, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { SlipwayError } from '../kernel/errors.ts'

/** Where one cluster's things lie. */
export interface ClusterPaths {
  readonly data: string
  readonly socketDir: string
  readonly log: string
}

/** Who the server runs as: PostgreSQL refuses to run as root. */
export interface ClusterOwner {
  readonly uid: number
  readonly gid: number
}

/** The socket's name, counted with the folder: an address of a Unix socket has room for 107 bytes. */
export const socketName = '.s.PGSQL.5432'
const longestSocketPath = 107
const oldestMajor = 13

export function clusterPaths(dataDir: string, name: string): ClusterPaths {
  const suffix = name === 'control' ? '' : `-${name}`
  const paths = {
    data: join(dataDir, 'postgres', name),
    socketDir: join(dataDir, 'run', `postgres${suffix}`),
    log: join(dataDir, 'logs', `postgres${suffix}.log`),
  }
  if (Buffer.byteLength(join(paths.socketDir, socketName)) > longestSocketPath) {
    throw new SlipwayError(
      'unavailable',
      `The path of the data folder ${dataDir} is too long for a Unix socket in it.`,
      {
        hint: 'Set SLIPWAY_DATA to a shorter path.',
      },
    )
  }
  return paths
}

/** The folder of the programs: those of the recorded major version, or the newest for a new cluster. */
export async function findPrograms(paths: ClusterPaths, root: string): Promise<string> {
  const recorded = await readFile(join(paths.data, 'PG_VERSION'), 'utf8').then(
    (text) => text.trim(),
    () => null,
  )
  const installed = (await readdir(root).catch(() => []))
    .filter((major) => /^\d+$/.test(major) && existsSync(join(root, major, 'bin', 'postgres')))
    .sort((a, b) => Number(b) - Number(a))
  const newest = installed[0]
  if (recorded !== null) {
    if (installed.includes(recorded)) return join(root, recorded, 'bin')
    throw new SlipwayError(
      'unavailable',
      `The database in ${paths.data} belongs to PostgreSQL ${recorded}, whose programs are not installed.`,
      { hint: `Install them: apt-get install postgresql-${recorded}` },
    )
  }
  if (newest === undefined || Number(newest) < oldestMajor) {
    throw new SlipwayError('unavailable', `No PostgreSQL server from version ${oldestMajor} on is installed.`, {
      hint: 'Install one (apt-get install postgresql), or set DATABASE_URL to a server of your own.',
    })
  }
  return join(root, newest, 'bin')
}

/** root hands the server to the user `postgres` of Debian's packages; anyone else runs it as themselves. */
export async function findOwner(): Promise<ClusterOwner> {
  const self = { uid: process.getuid?.() ?? -1, gid: process.getgid?.() ?? -1 }
  if (self.uid !== 0) return self
  const line = (await readFile('/etc/passwd', 'utf8')).split('\n').find((entry) => entry.startsWith('postgres:'))
  const [, , uid, gid] = line?.split(':') ?? []
  if (uid === undefined || gid === undefined) {
    throw new SlipwayError('unavailable', 'There is no user “postgres” on this machine for the database to run as.', {
      hint: 'It comes with the package postgresql-common: apt-get install --reinstall postgresql-common',
    })
  }
  return { uid: Number(uid), gid: Number(gid) }
}

/** The first folder on the way that the owner may not pass, for example /root with its mode 0700. */
export async function findClosedFolder(path: string, owner: ClusterOwner): Promise<string | null> {
  const parents: string[] = []
  for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) parents.unshift(folder)
  for (const folder of parents) {
    const { mode, uid, gid } = await stat(folder)
    const bit = uid === owner.uid ? 0o100 : gid === owner.gid ? 0o010 : 0o001
    if ((mode & bit) === 0) return folder
  }
  return null
}

/** Makes the folders around the cluster, with their owners. Safe to repeat. */
export async function prepareFolders(paths: ClusterPaths, owner: ClusterOwner): Promise<void> {
  for (const folder of [dirname(paths.data), dirname(paths.socketDir)]) {
    await mkdir(folder, { recursive: true, mode: 0o711 })
  }
  await mkdir(dirname(paths.log), { recursive: true, mode: 0o700 })
  await mkdir(paths.socketDir, { recursive: true, mode: 0o700 })
  await own(paths.socketDir, owner)
  const closed = (await findClosedFolder(paths.data, owner)) ?? (await findClosedFolder(paths.socketDir, owner))
  if (closed !== null) {
    throw new SlipwayError('unavailable', `The user “postgres” cannot pass ${closed} on the way to ${paths.data}.`, {
      hint: `Set SLIPWAY_DATA to a folder outside of home folders, such as /var/lib/slipway, or: chmod o+x ${closed}`,
    })
  }
}

async function own(path: string, owner: ClusterOwner): Promise<void> {
  await chown(path, owner.uid, owner.gid)
  await chmod(path, 0o700)
}

/**
 * The user `postgres` has another number elsewhere: after a move to another machine, or into a container, the files are another's. The
 * folder itself comes last, so that an interrupted change is finished by the next start.
 */
export async function takeOver(paths: ClusterPaths, owner: ClusterOwner): Promise<void> {
  const { uid } = await stat(paths.data)
  if (owner.uid === uid || process.getuid?.() !== 0) return
  for (const entry of await readdir(paths.data, { recursive: true })) {
    await lchown(join(paths.data, entry), owner.uid, owner.gid)
  }
  await chown(paths.data, owner.uid, owner.gid)
}

/**
 * Makes the cluster beside its place, with its role and database, and moves it there when complete: an interrupted
 * attempt is never taken for a cluster.
 */
export async function createCluster(
  paths: ClusterPaths,
  options: { programs: string; owner: ClusterOwner; durable: boolean },
): Promise<void> {
  const fresh = `${paths.data}.new`
  await rm(fresh, { recursive: true, force: true })
  await mkdir(fresh)
  await own(fresh, options.owner)
  const sync = options.durable ? [] : ['--no-sync']
  const initdb = ['-D', fresh, '-U', 'postgres', '--auth=peer', '--encoding=UTF8', '--locale=C.UTF-8', ...sync]
  await runAsOwner(join(options.programs, 'initdb'), initdb, options)
  const single = ['--single', '-D', fresh, '-c', 'exit_on_error=on', '-c', `fsync=${options.durable ? 'on' : 'off'}`]
  // A plain role, not a superuser: a flaw in Slipway's SQL must not become a program run by the server.
  const sql = 'create role slipway login;\ncreate database slipway owner slipway;\n'
  await runAsOwner(join(options.programs, 'postgres'), [...single, 'postgres'], { ...options, input: sql })
  await rename(fresh, paths.data)
  await syncFolder(dirname(paths.data))
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/**
 * Who may connect: over the socket only, known by the kernel, without passwords. root (or who runs Slipway) may be `slipway`, and
 * `postgres` for looking after the server by hand. Written at a start where it is not so already: a start needs no room on a full disk.
 */
export async function writeAccessFiles(paths: ClusterPaths, owner: ClusterOwner): Promise<void> {
  const me = userInfo().username
  const files = {
    'slipway_hba.conf': 'local all all peer map=slipway\n',
    'slipway_ident.conf': [me, 'postgres']
      .flatMap((user) => [`slipway "${user}" slipway`, `slipway "${user}" postgres`])
      .join('\n')
      .concat('\n'),
  }
  for (const [name, text] of Object.entries(files)) {
    const path = join(paths.data, name)
    if ((await readFile(path, 'utf8').catch(() => null)) === text) continue
    await writeFile(`${path}.new`, text, { mode: 0o600 })
    await chown(`${path}.new`, owner.uid, owner.gid)
    await rename(`${path}.new`, path)
  }
}

/** initdb takes one to two seconds; on a disk that hangs it would never end. */
const programLimitMs = 120_000

/** Runs one of PostgreSQL's programs to its end, as the owner; its output is the evidence when it fails. */
async function runAsOwner(
  program: string,
  args: readonly string[],
  options: { owner: ClusterOwner; input?: string },
): Promise<void> {
  const child = spawn(program, [...args], {
    cwd: '/',
    env: programEnvironment(),
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: programLimitMs,
    killSignal: 'SIGKILL',
    ...(process.getuid?.() === 0 ? options.owner : {}),
  })
  let output = ''
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-8192)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input ?? '')
  const code = await new Promise<number | string>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (exit, signal) => resolve(exit ?? signal ?? 'unknown'))
  })
  if (code !== 0) {
    throw new SlipwayError('unavailable', `PostgreSQL’s ${program.split('/').pop() ?? ''} failed (${code}).`, {
      hint: 'What it printed stands below; disk space and access rights of the data folder are the usual reasons.',
      evidence: output.trim().split('\n').slice(-20),
    })
  }
}

/** Nothing of ours is the server's concern, least of all tokens. */
export function programEnvironment(): Record<string, string> {
  return { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', HOME: '/nonexistent' }
}
