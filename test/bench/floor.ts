import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { getOnce } from './http-probe.ts'
import { makePusher, type Pusher } from './pusher.ts'
import { findListener } from './server.ts'
import { freePort, waitFor } from './wait.ts'

const run = promisify(execFile)
/** The classic builder, which is what `--no-cache` on Slipway's side is too. */
export const docker = (...args: string[]) => run('docker', args, { env: { ...process.env, DOCKER_BUILDKIT: '0' } })

/**
 * What a deploy costs when one does only what cannot be left out, by hand and by the shortest way: push to a bare repository
 * through git's own http-backend, `docker build --no-cache`, `docker run`, wait for the first answer, one `set map` in a
 * HAProxy of four lines.
 */
export interface Floor {
  readonly port: number
  readonly host: string
  readonly pusher: Pusher
  /** From the push to the swap; times of the parts in ms. */
  deploy(): Promise<FloorTimes>
  /** Ends the version before; not part of the time. */
  retire(): Promise<void>
  remove(): Promise<void>
}

export interface FloorTimes {
  readonly push: number
  readonly build: number
  readonly run: number
  readonly answer: number
  readonly swap: number
}

export async function makeFloor(limits: readonly string[]): Promise<Floor> {
  const name = `floor-${randomBytes(3).toString('hex')}`
  const dir = await mkdtemp(join(tmpdir(), 'slipway-floor-'))
  const network = await makeNetwork(name)
  const git = await startGitServer(join(dir, 'app.git'))
  const proxy = await startProxy(dir)
  const pusher = await makePusher(git.url, null)
  const containers: string[] = []
  let count = 0

  return {
    port: proxy.port,
    host: 'floor.localhost',
    pusher,
    async deploy() {
      const version = ++count
      const address = `${network.prefix}.${(version % 200) + 10}`
      const marks = [performance.now()]
      const mark = (): void => void marks.push(performance.now())
      await pusher.push('main')
      mark()
      // The files without .git, as they were committed.
      const context = join(dir, 'context')
      await rm(context, { recursive: true, force: true })
      await cp(pusher.dir, context, { recursive: true, filter: (path) => !path.endsWith('/.git') })
      await docker('build', '-q', '--no-cache', '-t', `${name}:${version}`, context)
      mark()
      const container = `${name}-${version}`
      containers.push(container)
      const how = ['--name', container, '--network', name, '--ip', address, '-e', 'PORT=8080', ...limits]
      await docker('run', '-d', ...how, `${name}:${version}`)
      mark()
      await waitFor('the floor’s container', 20_000, async () => await answers(address), 2)
      mark()
      await proxy.setMap('floor.localhost', `${address}:8080`)
      mark()
      const [push = 0, build = 0, started = 0, answer = 0, swap = 0] = marks
        .slice(1)
        .map((at, i) => at - (marks[i] ?? at))
      return { push, build, run: started, answer, swap }
    },
    async retire() {
      for (const old of containers.splice(0, containers.length - 1)) await docker('rm', '-f', old)
    },
    async remove() {
      if (containers.length > 0) await docker('rm', '-f', ...containers)
      await docker('network', 'rm', name)
      const { stdout } = await docker('images', '-q', name)
      const images = stdout.split('\n').filter((id) => id !== '')
      if (images.length > 0) await docker('rmi', '-f', ...images)
      await git.close()
      await proxy.stop()
      await pusher.remove()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

export async function answers(address: string): Promise<boolean> {
  const open = await new Promise<boolean>((done) => {
    const socket = connect(8080, address)
    const end = (is: boolean) => (): void => {
      socket.destroy()
      done(is)
    }
    socket.on('connect', end(true)).on('error', end(false)).setTimeout(500, end(false))
  })
  return open
}

export async function makeNetwork(name: string): Promise<{ prefix: string }> {
  const taken = Object.values(networkInterfaces())
    .flat()
    .map((one) => one?.address.split('.').slice(0, 3).join('.'))
  const prefix = Array.from({ length: 200 }, (_, i) => `10.240.${i}`).find((start) => !taken.includes(start))
  if (prefix === undefined) throw new Error('No network is free for the floor.')
  const off = 'com.docker.network.bridge.enable_icc=false'
  await docker('network', 'create', '--subnet', `${prefix}.0/24`, '--opt', off, name)
  return { prefix }
}

/** `git http-backend` behind the smallest CGI server there can be. */
async function startGitServer(path: string): Promise<{ url: string; close(): Promise<void> }> {
  await run('git', ['init', '-q', '--bare', path])
  await run('git', ['-C', path, 'config', 'http.receivepack', 'true'])
  const server = createServer((req, res) => serveGit(path, req, res))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () =>
      new Promise((done) => {
        server.closeAllConnections()
        server.close(() => done())
      }),
  }
}

function serveGit(path: string, req: IncomingMessage, res: ServerResponse): void {
  const [pathInfo = '/', query = ''] = (req.url ?? '/').split('?')
  const child = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env['PATH'] ?? '',
      GIT_PROJECT_ROOT: path,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: pathInfo,
      QUERY_STRING: query,
      REQUEST_METHOD: req.method ?? '',
      CONTENT_TYPE: req.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: req.headers['content-encoding'] ?? '',
      ...(req.headers['content-length'] === undefined ? {} : { CONTENT_LENGTH: req.headers['content-length'] }),
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  req.pipe(child.stdin)
  child.stdin.on('error', () => undefined)
  let head = ''
  let inBody = false
  child.stdout.on('data', (chunk: Buffer) => {
    if (inBody) return void res.write(chunk)
    head += chunk.toString('latin1')
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return
    inBody = true
    for (const line of head.slice(0, end).split('\r\n')) {
      const [key = '', value = ''] = line.split(': ')
      if (key === 'Status') res.statusCode = Number(value.slice(0, 3))
      else res.setHeader(key, value)
    }
    res.write(Buffer.from(head.slice(end + 4), 'latin1'))
  })
  child.on('close', () => res.end())
}

/** One map, `set-dst`, and nothing else. */
async function startProxy(dir: string): Promise<{
  port: number
  setMap(key: string, value: string): Promise<void>
  stop(): Promise<void>
}> {
  const port = await freePort()
  const [map, socket, config] = ['floor.map', 'floor.sock', 'floor.cfg'].map((file) => join(dir, file)) as [
    string,
    string,
    string,
  ]
  await mkdir(dir, { recursive: true })
  await writeFile(map, 'floor.localhost 127.0.0.1:9\n')
  await writeFile(config, bareProxyConfig({ port, map, socket }))
  await run('/usr/sbin/haproxy', ['-D', '-f', config, '-p', join(dir, 'floor.pid')])
  const pid = await findListener(port)
  return {
    port,
    async setMap(key, value) {
      await tellSocket(socket, `set map ${map} ${key} ${value}`)
    },
    async stop() {
      process.kill(pid, 'SIGTERM')
      await waitFor('the floor’s proxy to end', 5_000, async () => (await getOnce(port, 'floor.localhost')) === null)
    },
  }
}

function bareProxyConfig({ port, map, socket }: { port: number; map: string; socket: string }): string {
  return `global
    stats socket ${socket} mode 600 level admin
defaults
    mode http
    timeout connect 3s
    timeout client 60s
    timeout server 60s
    retries 0
frontend floor
    bind 127.0.0.1:${port}
    http-request set-var(txn.to) req.hdr(host),field(1,:),map_str(${map})
    http-request set-dst var(txn.to),field(1,:)
    http-request set-dst-port var(txn.to),field(2,:)
    default_backend app
backend app
    server app 0.0.0.0:0
`
}

function tellSocket(path: string, command: string): Promise<string> {
  return new Promise((done, fail) => {
    let answer = ''
    const socket = connect(path, () => socket.end(`${command}\n`))
    socket.on('data', (chunk) => (answer += chunk.toString()))
    socket.on('error', fail)
    socket.on('close', () => done(answer))
  })
}
