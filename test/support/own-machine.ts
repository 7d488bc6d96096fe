import { execFile } from 'node:child_process'
import { connect, createServer, type Server } from 'node:net'
import { promisify } from 'node:util'
import { type EngineOptions, type OwnEngine, startOwnEngine } from './own-engine.ts'
import { freePort } from './free-port.ts'
import { makeSlipway, type Place, type Slipway } from './slipway.ts'
import { makeSlowSocket, type SlowSocket } from './slow-socket.ts'

const run = promisify(execFile)

/**
 * A Slipway with an engine of the test's own, both in a network namespace of their own: the engine may be killed and frozen. What is
 * asked of Slipway's port on loopback is passed on into the namespace.
 */
export interface OwnMachine {
  readonly engine: OwnEngine
  /** Stands before the engine's socket when that was asked for: Slipway knows no other. */
  readonly way: SlowSocket | null
  readonly slipway: Slipway
  /** Ends everything and tells what was left over. */
  remove(): Promise<string[]>
}

export async function makeOwnMachine(
  env: Record<string, string> = {},
  options: EngineOptions & Pick<Place, 'dataDir'> & { readonly slow?: boolean } = {},
): Promise<OwnMachine> {
  const engine = await startOwnEngine(options)
  const way = options.slow === true ? await makeSlowSocket(`${engine.socketPath}.way`, engine.socketPath) : null
  const { space } = engine
  const port = await freePort()
  // A /30 of its own for each test process: the outer end, and where the proxy listens.
  const base = `172.29.${(process.pid >> 6) & 255}`
  const last = (process.pid & 63) * 4
  const [outer, inner] = [`${base}.${last + 1}`, `${base}.${last + 2}`]
  await run('ip', ['link', 'add', 'name', `${space}v`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space])
  await run('ip', ['addr', 'add', `${outer}/30`, 'dev', `${space}v`])
  await run('ip', ['link', 'set', `${space}v`, 'up'])
  await run('ip', ['-n', space, 'addr', 'add', `${inner}/30`, 'dev', 'eth0'])
  await run('ip', ['-n', space, 'link', 'set', 'eth0', 'up'])
  const relay = await passOn(port, inner)
  const slipway = await makeSlipway(
    {
      DOCKER_HOST: `unix://${way?.path ?? engine.socketPath}`,
      SLIPWAY_BIND: inner,
      SLIPWAY_HTTP_PORT: String(port),
      ...env,
    },
    { inside: ['ip', 'netns', 'exec', space], port, ...(options.dataDir === undefined ? {} : options) },
  )
  return {
    engine,
    slipway,
    way,
    async remove() {
      try {
        return await slipway.remove()
      } finally {
        relay.close()
        await way?.close()
        await engine.close()
        // Goes with the namespace, but later.
        await run('ip', ['link', 'del', `${space}v`]).catch(() => undefined)
      }
    },
  }
}

async function passOn(port: number, to: string): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const onward = connect({ host: to, port, allowHalfOpen: true })
    socket.on('error', () => onward.destroy())
    onward.on('error', () => socket.destroy())
    socket.pipe(onward).pipe(socket)
  })
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
  return server
}
