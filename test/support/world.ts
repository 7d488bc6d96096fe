import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A network beyond the host, as a server on the internet is: a namespace behind a pair of devices, with a listener in it. */
export interface World {
  /** CIDR of the network. */
  readonly range: string
  readonly address: string
  /** A link-local address of the same server, like the one of a cloud's metadata. */
  readonly linkLocal: string
  readonly port: number
  close(): Promise<void>
}

export async function openWorld(): Promise<World> {
  const [a = 0, b = 0, c = 0] = randomBytes(3)
  const name = `w${randomBytes(4).toString('hex')}`
  const net = `198.${18 + (a % 2)}.${b}`
  const base = c - (c % 4)
  const [host, address] = [`${net}.${base + 1}`, `${net}.${base + 2}`]
  const linkLocal = `169.254.${b}.${base + 2}`
  await run('ip', ['netns', 'add', name])
  let server: ChildProcess | null = null
  try {
    await run('ip', ['link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name])
    await run('ip', ['addr', 'add', `${host}/30`, 'dev', name])
    await run('ip', ['link', 'set', name, 'up'])
    await run('ip', ['-n', name, 'addr', 'add', `${address}/30`, 'dev', 'eth0'])
    await run('ip', ['-n', name, 'addr', 'add', `${linkLocal}/32`, 'dev', 'eth0'])
    await run('ip', ['-n', name, 'link', 'set', 'eth0', 'up'])
    await run('ip', ['-n', name, 'route', 'add', 'default', 'via', host])
    await run('ip', ['route', 'add', `${linkLocal}/32`, 'via', address])
    const listen = ['/bin/busybox', 'nc', '-ll', '-p', '80', '-e', '/bin/true']
    server = spawn('nsenter', [`--net=/run/netns/${name}`, ...listen], { stdio: 'ignore' })
    await untilOpen(address)
  } catch (error) {
    await close()
    throw error
  }
  async function close(): Promise<void> {
    server?.kill('SIGKILL')
    await run('ip', ['link', 'del', name]).catch(() => {})
    await run('ip', ['netns', 'del', name])
  }
  return { range: `${net}.${base}/30`, address, linkLocal, port: 80, close }
}

async function untilOpen(address: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await run('/bin/busybox', ['nc', '-w', '2', address, '80', '-e', '/bin/true'])
      return
    } catch (error) {
      if (attempt === 400) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
