import { execFile } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { importFolder } from './base-image.ts'
import { type Part, readCompose, type Service } from './compose.ts'
import { root } from './root.ts'

const run = promisify(execFile)

/** Options that say nothing of what is inside, and such as `docker stop` is given. */
const others = ['image', 'build', 'restart', 'command', 'logging', 'stop_grace_period']

const options: Readonly<Record<string, (value: never) => readonly string[]>> = {
  network_mode: (mode: string) => ['--network', mode],
  pid: (mode: string) => ['--pid', mode],
  read_only: (on: boolean) => [`--read-only=${on}`],
  tmpfs: (paths: string[]) => paths.flatMap((path) => ['--tmpfs', path]),
  environment: (all: Record<string, string | null>) =>
    Object.entries(all).flatMap(([name, value]) => ['--env', `${name}=${value ?? ''}`]),
  volumes: (all: string[]) => all.flatMap((volume) => ['--volume', volume]),
  cap_drop: (all: string[]) => all.flatMap((name) => ['--cap-drop', name]),
  cap_add: (all: string[]) => all.flatMap((name) => ['--cap-add', name]),
  security_opt: (all: string[]) => all.flatMap((option) => ['--security-opt', option]),
  stop_signal: (signal: string) => ['--stop-signal', signal],
  shm_size: (size: string) => ['--shm-size', size],
}

/** What compose would tell the engine; an option that is not known here is an error, not left out. */
function engineOptions(service: Service): string[] {
  return Object.entries(service).flatMap(([key, value]) => {
    if (others.includes(key)) return []
    const option = options[key]
    if (option === undefined) throw new Error(`docker/compose.yml: ${key} is not known to the tests`)
    return option(value as never)
  })
}

export interface Containers {
  name(part: Part): string
  start(part: Part): Promise<void>
  /** As compose does it: the part's own signal, and the time it is given. */
  stop(part: Part): Promise<void>
  log(part: Part): Promise<string>
  remove(): Promise<void>
}

/**
 * The containers of docker/compose.yml without building their image, which needs a registry: in place of its file system stand this
 * machine's programs and this checkout, read-only.
 */
export async function makeContainers(settings: Readonly<Record<string, string>>): Promise<Containers> {
  const installation = settings['SLIPWAY_INSTALLATION'] ?? ''
  const image = `slipway-test/containers:${installation}`
  const services = readCompose(settings)
  await makeFrame(image)
  const name = (part: Part): string => `slipway-test-${installation}-${part}`
  return {
    name,
    async start(part) {
      const service = services[part]
      const made = ['run', '--detach', '--name', name(part), ...engineOptions(service), ...machine()]
      await run('docker', [...made, image, ...service.command])
    },
    async stop(part) {
      const grace = /^(\d+)([sm])$/.exec(services[part].stop_grace_period)
      const seconds = Number(grace?.[1]) * (grace?.[2] === 'm' ? 60 : 1)
      await run('docker', ['stop', '--time', String(seconds), name(part)])
      await run('docker', ['rm', name(part)])
    },
    async log(part) {
      const { stdout, stderr } = await run('docker', ['logs', name(part)])
      return stdout + stderr
    },
    async remove() {
      for (const part of ['slipway', 'proxy', 'postgres'] as const) {
        await run('docker', ['rm', '--force', name(part)]).catch(() => undefined)
      }
      await run('docker', ['rmi', image])
    },
  }
}

const own = ['src', 'hooks', 'sql', 'docker', 'package.json', 'node_modules']
const ofMachine = ['/usr', '/etc/alternatives', '/etc/group', '/etc/ld.so.cache', '/etc/passwd', '/etc/ssl/certs']

/** Folders to mount on, and the links of a merged /usr. */
async function makeFrame(image: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-frame-'))
  try {
    const empty = [
      'usr',
      'etc/alternatives',
      'etc/ssl/certs',
      'node',
      'opt/slipway',
      'proc',
      'sys',
      'dev',
      'tmp',
      'run',
      'var',
    ]
    for (const path of empty) await mkdir(join(folder, path), { recursive: true })
    for (const path of ['bin', 'sbin', 'lib', 'lib64']) await symlink(`usr/${path}`, join(folder, path))
    await symlink('/run', join(folder, 'var/run'))
    await importFolder(folder, image, ['ENV PATH=/node:/usr/sbin:/usr/bin'])
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function machine(): string[] {
  return [
    ...ofMachine.map((path) => `${path}:${path}:ro`),
    ...own.map((path) => `${realpathSync(join(root, path))}:/opt/slipway/${path}:ro`),
    `${dirname(realpathSync(process.execPath))}:/node:ro`,
  ].flatMap((volume) => ['--volume', volume])
}
