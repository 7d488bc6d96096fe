import { execFile, spawn } from 'node:child_process'
import { mkdir, mkdtemp, copyFile, symlink, rm, chmod, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const tag = 'slipway-test/busybox:1'

/**
 * A base image of 2 MB without a registry: Debian's static busybox with a link for each of its commands. The tag stays
 * (making it takes a second); it is local only, so every pull policy is content with it. `wget` crashes on anything but
 * loopback; use `nc`.
 */
export async function ensureBaseImage(): Promise<string> {
  if (await isPresent()) return tag
  // Test files run at once; two imports would leave one image without a name. The lock dies with its process.
  const lock = spawn('flock', [join(tmpdir(), 'slipway-base-image.lock'), 'sh', '-c', 'echo locked; cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await new Promise((resolve) => lock.stdout.once('data', resolve))
  try {
    if (!(await isPresent())) await makeBaseImage(tag)
  } finally {
    lock.stdin.end()
  }
  return tag
}

async function isPresent(): Promise<boolean> {
  return run('docker', ['image', 'inspect', tag]).then(
    () => true,
    () => false,
  )
}

/** The same under another name (null: without one) and with other content of /etc/motd. Resolves with its id. */
export async function makeBaseImage(
  name: string | null,
  options: { motd?: string; changes?: string[] } = {},
): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'slipway-base-'))
  try {
    for (const dir of ['bin', 'etc', 'tmp', 'root', 'proc', 'sys', 'dev']) await mkdir(join(root, dir))
    await chmod(join(root, 'tmp'), 0o1777)
    await copyFile('/bin/busybox', join(root, 'bin/busybox'))
    await chmod(join(root, 'bin/busybox'), 0o755)
    const applets = (await run('/bin/busybox', ['--list'])).stdout.split('\n').filter((name) => name !== '')
    for (const applet of applets) {
      if (applet !== 'busybox') await symlink('busybox', join(root, 'bin', applet))
    }
    await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n')
    await writeFile(join(root, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n')
    await writeFile(join(root, 'etc/motd'), options.motd ?? 'base\n')
    const changes = ['ENV PATH=/bin', 'CMD ["/bin/sh"]', ...(options.changes ?? [])]
    return await importFolder(root, name, changes)
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

export async function importFolder(root: string, name: string | null, changes: string[]): Promise<string> {
  const tar = spawn('tar', ['-C', root, '--owner=0', '--group=0', '--numeric-owner', '-cf', '-', '.'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const args = ['import', ...changes.flatMap((change) => ['--change', change]), '-', ...(name === null ? [] : [name])]
  const docker = spawn('docker', args, { stdio: ['pipe', 'pipe', 'inherit'] })
  tar.stdout.pipe(docker.stdin)
  let out = ''
  docker.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  const code = await new Promise<number | null>((resolve, reject) => {
    docker.on('error', reject)
    docker.on('close', resolve)
  })
  if (code !== 0) throw new Error(`docker import of ${name ?? 'an image'} ended with ${String(code)}`)
  return out.trim()
}
