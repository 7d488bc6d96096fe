import { spawn } from 'node:child_process'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { SlipwayError } from '../kernel/errors.ts'
import { LineSplitter, plainLine } from '../kernel/terminal-text.ts'
import { searchPath } from './programs.ts'

interface Apt {
  readonly say: (line: string) => void
  /** The repository's root: below it lies what keeps the packages' services from starting. */
  readonly root: string
}

const lockLimitMs = 5 * 60_000
/** 150 MB of packages over a megabit a second take 20 minutes; SIGTERM, so that dpkg is not cut off in the middle of a file. */
const runLimitMs = 60 * 60_000
const listsGrowOldAfterMs = 7 * 24 * 60 * 60_000

/**
 * Installs packages without their services: neither Debian's own database cluster nor its HAProxy service is made, enabled
 * or started. Finishes what an interrupted dpkg left, waits for another apt, and fetches the package lists when they are
 * missing, old, or do not know a package.
 */
export async function installPackages(
  names: readonly string[],
  options: Apt & { whereKnown: readonly string[] },
): Promise<void> {
  const begin = performance.now()
  await finishInterrupted(options)
  const fresh = await areListsFresh()
  if (!fresh) await runApt(['update'], options)
  const all = [...names, ...(await knownOnes(options.whereKnown))]
  options.say(`Installing ${all.join(' ')} …`)
  try {
    await runApt(installArguments(all), options)
  } catch (error) {
    // Old lists name versions that the archive no longer has.
    if (!fresh) throw error
    await runApt(['update'], options)
    await runApt(installArguments(all), options)
  }
  options.say(`Installed in ${Math.round((performance.now() - begin) / 1000)} s.`)
}

function installArguments(names: readonly string[]): string[] {
  return ['install', '--yes', '--no-install-recommends', '--', ...names]
}

async function finishInterrupted(options: Apt): Promise<void> {
  const left = (await readdir('/var/lib/dpkg/updates').catch(() => [])).filter((name) => /^\d+$/.test(name))
  if (left.length === 0) return
  options.say('Finishing an interrupted installation (dpkg --configure -a) …')
  const { code, lines } = await runQuietly('dpkg', ['--configure', '-a', '--force-confold'], options)
  if (code !== 0) throw aptFailed('dpkg --configure -a', lines)
}

async function areListsFresh(): Promise<boolean> {
  const folder = '/var/lib/apt/lists'
  const lists = (await readdir(folder).catch(() => [])).filter((name) => /_Packages(?:\.\w+)?$/.test(name))
  const times = await Promise.all(lists.map(async (name) => (await stat(join(folder, name))).mtimeMs))
  // The files carry the archive's times; the folder says when they were last fetched.
  const fetched = await stat('/var/lib/apt/lists/partial').then(
    (stats) => stats.mtimeMs,
    () => 0,
  )
  return times.length > 0 && Date.now() - Math.max(fetched, ...times) < listsGrowOldAfterMs
}

async function knownOnes(names: readonly string[]): Promise<string[]> {
  const known = await Promise.all(
    names.map(async (name) => {
      const { lines } = await runQuietly('apt-cache', ['policy', name], null)
      return lines.some((line) => /^\s*Candidate: [^(]/.test(line)) ? [name] : []
    }),
  )
  return known.flat()
}

/** Runs apt-get; while another one holds the lists’ lock it waits (dpkg’s own lock apt waits for by itself). */
async function runApt(args: readonly string[], options: Apt): Promise<void> {
  const set = {
    'DPkg::Lock::Timeout': String(lockLimitMs / 1000),
    'DPkg::Path': `${join(options.root, 'src/setup/quiet-services')}:/usr/sbin:/usr/bin:/sbin:/bin`,
    'Acquire::Retries': '3',
    'DPkg::Use-Pty': '0',
  }
  const settings = Object.entries(set).flatMap(([key, value]) => ['-o', `${key}=${value}`])
  const deadline = performance.now() + lockLimitMs
  for (let told = false; ; told = true) {
    const { code, lines } = await runQuietly('apt-get', ['-q', ...settings, ...args], options)
    if (code === 0) return
    const locked = lines.find((line) => line.includes('Could not get lock'))
    if (locked === undefined || performance.now() > deadline) throw aptFailed(`apt-get ${args.join(' ')}`, lines)
    if (!told) options.say(`Waiting for another installation to end: ${plainLine(locked)}`)
    await delay(2000)
  }
}

/** Runs to the end, tells its milestones, and returns the last lines. Asks nothing. */
async function runQuietly(
  program: string,
  args: readonly string[],
  options: Apt | null,
): Promise<{ code: number | string; lines: string[] }> {
  const child = spawn(program, [...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: runLimitMs,
    env: {
      ...process.env,
      PATH: searchPath(),
      LC_ALL: 'C.UTF-8',
      DEBIAN_FRONTEND: 'noninteractive',
      NEEDRESTART_SUSPEND: '1',
      SLIPWAY_QUIET: 'haproxy postgresql docker-registry docker containerd',
      SLIPWAY_QUIET_PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    },
  })
  const lines: string[] = []
  const splitter = new LineSplitter((line) => {
    lines.push(line)
    if (lines.length > 200) lines.shift()
    if (/^(?:Fetched |Waiting for cache lock)/.test(line)) options?.say(plainLine(line))
  })
  child.stdout.on('data', (chunk: Buffer) => splitter.write(chunk))
  child.stderr.on('data', (chunk: Buffer) => splitter.write(chunk))
  const code = await new Promise<number | string>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (exit, signal) => resolve(exit ?? signal ?? 'unknown'))
  })
  splitter.end()
  return { code, lines }
}

function aptFailed(command: string, lines: readonly string[]): SlipwayError {
  const errors = lines.filter((line) => /^(?:E:|Err:|dpkg: error)/.test(line))
  return new SlipwayError('unavailable', `Installing packages failed: ${command}`, {
    hint: 'Mend what it says below, then start again.',
    evidence: errors.length > 0 ? errors.slice(-10) : lines.slice(-10),
  })
}
