import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { SlipwayError } from '../kernel/errors.ts'
import { isAtLeast } from '../kernel/version.ts'
import { installPackages } from './apt.ts'
import { findProgram, readVersion } from './programs.ts'

/** What decides which packages are needed. */
export interface Purpose {
  /** Tests and checks need more than the server. */
  readonly tests: boolean
  /** The first start makes an app without any image registry. */
  readonly demo: boolean
  /** No server of our own when DATABASE_URL names one. */
  readonly ownPostgres: boolean
  /** An engine answers, or cannot be ours to start. */
  readonly engineIsThere: boolean
}

interface Need {
  readonly package: string
  readonly why: string
  readonly when?: (purpose: Purpose) => boolean
  /** null when all is well, else what is wrong in a few words. */
  readonly lack: () => Promise<string | null> | string | null
  /** Newer distributions cut it off from another package; older ones do not know it. */
  readonly whereKnown?: true
}

/** Every Debian package that Slipway installs: how to see that it is there, and why it is needed. */
const needs: readonly Need[] = [
  { package: 'git', why: 'to receive pushes', lack: () => olderThan('git', '--version', '2.38') },
  { package: 'haproxy', why: 'to route requests to the sites', lack: () => olderThan('haproxy', '-v', '2.6') },
  { package: 'postgresql', why: 'to remember apps and deploys', when: (p) => p.ownPostgres, lack: noPostgres },
  { package: 'iproute2', why: 'to set up the networks of the sites', lack: () => noProgram('ip') },
  { package: 'iptables', why: 'to keep sites apart from the host', lack: () => noProgram('iptables') },
  {
    package: 'ca-certificates',
    why: 'to pull base images over HTTPS',
    lack: () => noFile('/etc/ssl/certs/ca-certificates.crt'),
  },
  {
    package: 'docker.io',
    why: 'to build and run the sites',
    when: (p) => !p.engineIsThere,
    lack: () => noProgram('dockerd'),
  },
  {
    package: 'apparmor',
    why: 'to start containers on this kernel',
    when: (p) => !p.engineIsThere,
    lack: () => (kernelHasAppArmor() ? noProgram('apparmor_parser') : null),
  },
  { package: 'docker-cli', why: 'to build with BuildKit', lack: () => noProgram('docker'), whereKnown: true },
  {
    package: 'busybox-static',
    why: 'to make an image without a registry',
    when: (p) => p.tests || p.demo,
    lack: noStaticBusybox,
  },
  { package: 'curl', why: 'to test as users do', when: forTests, lack: () => noProgram('curl') },
  { package: 'procps', why: 'to look for processes that tests left over', when: forTests, lack: () => noProgram('ps') },
  {
    package: 'libfaketime',
    why: 'to test that clocks may jump',
    when: forTests,
    lack: noFakeTime,
  },
  {
    package: 'docker-registry',
    why: 'to test pulling of base images',
    when: forTests,
    lack: () => noProgram('docker-registry'),
  },
]

export interface MissingPackage {
  readonly package: string
  readonly why: string
  readonly lack: string
}

export async function findMissingPackages(purpose: Purpose): Promise<MissingPackage[]> {
  return (await lacking(purpose)).filter((need) => need.whereKnown !== true)
}

function neededFor(purpose: Purpose): Need[] {
  return needs.filter((need) => need.when?.(purpose) ?? true)
}

/** Their names, but for those that only newer distributions know. */
export function packagesFor(purpose: Purpose): string[] {
  return neededFor(purpose)
    .filter((need) => need.whereKnown !== true)
    .map((need) => need.package)
}

async function lacking(purpose: Purpose): Promise<(MissingPackage & { whereKnown?: true })[]> {
  const found = await Promise.all(neededFor(purpose).map(async (need) => ({ ...need, lack: await need.lack() })))
  return found.flatMap(({ lack, ...need }) => (lack === null ? [] : [{ ...need, lack }]))
}

/**
 * Installs what is missing, after saying what and why. On a terminal it asks first; where nobody can be asked it goes on
 * only when SLIPWAY_YES=1 or CI=true allow it. Throws one sentence with the command to run when it may not or cannot.
 */
export async function ensurePackages(
  purpose: Purpose,
  options: { say: (line: string) => void; root: string },
): Promise<void> {
  const missing = await lacking(purpose)
  const required = missing.filter((need) => need.whereKnown !== true)
  if (required.length === 0) return
  const names = required.map((need) => need.package)
  const list = required.map((need) => `${need.package} (${need.why}: ${need.lack})`).join(', ')
  const refusal = refuseToInstall(names, list)
  if (refusal !== null) throw refusal
  options.say(`These Debian packages are missing: ${list}.`)
  if (!allowedWithoutAsking() && !(await askToInstall())) {
    throw new SlipwayError('cancelled', 'Nothing was installed.', { hint: commandHint(names) })
  }
  await installPackages(names, {
    ...options,
    whereKnown: missing.filter((need) => need.whereKnown === true).map((need) => need.package),
  })
  const still = await findMissingPackages(purpose)
  if (still.length > 0) {
    const rest = still.map((need) => `${need.package} (${need.lack})`).join(', ')
    throw new SlipwayError('unavailable', `What this distribution offers is not enough for Slipway: ${rest}.`, {
      hint: 'Debian 12, Ubuntu 24.04 and newer ones have all of it.',
    })
  }
}

function refuseToInstall(names: readonly string[], list: string): SlipwayError | null {
  const hint = commandHint(names)
  if (findProgram('apt-get') === null) {
    return new SlipwayError('unavailable', `These programs are missing, and this machine has no apt-get: ${list}.`, {
      hint: 'Install them in this machine’s own way, then start again.',
    })
  }
  if (process.getuid?.() !== 0) {
    return new SlipwayError(
      'unavailable',
      `These Debian packages are missing, and only root can install them: ${list}.`,
      {
        hint,
      },
    )
  }
  if (!allowedWithoutAsking() && !(process.stdin.isTTY && process.stdout.isTTY)) {
    return new SlipwayError('unavailable', `These Debian packages are missing: ${list}.`, {
      hint: `${hint} (or set SLIPWAY_YES=1 and Slipway does it)`,
    })
  }
  return null
}

function commandHint(names: readonly string[]): string {
  return `Run as root: apt-get install --no-install-recommends ${names.join(' ')}`
}

export function allowedWithoutAsking(env: Readonly<Record<string, string | undefined>> = process.env): boolean {
  return env['SLIPWAY_YES'] === '1' || env['CI'] === 'true'
}

async function askToInstall(): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  try {
    const answer = await terminal.question('Install them with apt-get? [Y/n] ')
    return /^(?:y|yes|)$/i.test(answer.trim())
  } catch {
    return false
  } finally {
    terminal.close()
  }
}

function forTests(purpose: Purpose): boolean {
  return purpose.tests
}

function noProgram(name: string): string | null {
  return findProgram(name) === null ? `no ${name} is installed` : null
}

function noFile(path: string): string | null {
  return existsSync(path) ? null : `there is no ${path}`
}

/** It is no program, and stands in the folder of the machine's architecture. */
function noFakeTime(): string | null {
  const isThere = readdirSync('/usr/lib').some((name) => existsSync(`/usr/lib/${name}/faketime/libfaketime.so.1`))
  return isThere ? null : 'there is no libfaketime'
}

/** The package busybox has a program of the same name that does not run in an empty image. */
function noStaticBusybox(): string | null {
  const path = '/bin/busybox'
  const isStatic = existsSync(path) && !readFileSync(path).subarray(0, 4096).includes('ld-linux')
  return isStatic ? null : `there is no static ${path}`
}

async function olderThan(name: string, flag: string, floor: string): Promise<string | null> {
  const version = await readVersion(name, flag)
  if (version === null) return `no ${name} is installed`
  return isAtLeast(version, floor) ? null : `${name} is ${version}, needed is ${floor} or newer`
}

function noPostgres(): string | null {
  const root = '/usr/lib/postgresql'
  const majors = existsSync(root) ? readdirSync(root) : []
  const usable = majors.some((major) => Number(major) >= 13 && existsSync(`${root}/${major}/bin/postgres`))
  return usable ? null : 'no PostgreSQL server from version 13 on is installed'
}

function kernelHasAppArmor(): boolean {
  const path = '/sys/module/apparmor/parameters/enabled'
  return existsSync(path) && readFileSync(path, 'utf8').startsWith('Y')
}
