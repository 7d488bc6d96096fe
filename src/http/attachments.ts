import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { type Accounts, assertMay } from '../accounts/index.ts'
import { actAs, originOf } from '../kernel/actor.ts'
import { longestMessage } from '../kernel/attachment.ts'
import { SlipwayError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Runs } from '../runs/index.ts'
import { makeSocketClient } from './attached-client.ts'
import { problemOf } from './errors.ts'
import { authenticate } from './mount.ts'
import type { Upgrades } from './server.ts'

const path = /^\/api\/v1\/runs\/([0-9a-f]{16})\/attachment$/
/** As on silent event streams; the proxy cuts a tunnel after a day of silence, other boxes on the way after minutes. */
const defaultPingMs = 15_000

export interface AttachmentNeeds {
  readonly accounts: Accounts
  readonly runs: Pick<Runs, 'appOf' | 'connect'>
  readonly logger: Logger
  readonly pingMs?: number
}

/** Connections to commands: WebSockets with a bearer token, from programs. */
export function makeAttachments({ accounts, runs, logger, pingMs = defaultPingMs }: AttachmentNeeds): Upgrades {
  const server = new WebSocketServer({ noServer: true, maxPayload: longestMessage, perMessageDeflate: false })

  const admit = async (req: IncomingMessage): Promise<{ id: string; by: string }> => {
    const principal = await authenticate(req, accounts)
    const id = path.exec(req.url ?? '')?.[1] ?? ''
    assertMay(principal, 'runs.start', runs.appOf(id))
    // A browser sends it always, a program has no need to. With tokens alone it could do no harm; it has no business here all the same.
    if (req.headers.origin !== undefined)
      throw new SlipwayError('not_allowed', 'A page in a browser cannot connect to a command.')
    return { id, by: principal.name }
  }

  const accept = async (req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    const { id, by } = await admit(req)
    if (runs.appOf(id) === null) throw new SlipwayError('not_found', 'There is no such run to connect to.')
    server.handleUpgrade(req, socket, head, (webSocket) => {
      const client = makeSocketClient(webSocket, { pingMs })
      actAs({ name: by, origin: originOf('api', req.headers) }, () => runs.connect(id, client)).catch(
        (error: unknown) => {
          logger.error('a run failed', { run: id, error })
          webSocket.terminate()
        },
      )
    })
  }

  return {
    takes: (req) => path.test(req.url ?? '') && req.headers.upgrade?.toLowerCase() === 'websocket',
    upgrade(req, socket, head) {
      // For good: also what was refused may break, and nobody else listens.
      socket.on('error', () => undefined)
      accept(req, socket, head).catch((error: unknown) => refuse(socket, error, logger))
    },
    close() {
      for (const webSocket of server.clients) webSocket.terminate()
    },
  }
}

/** As any other call of the API is refused. The server does not know the connection any more: it ends here, whatever the client does. */
function refuse(socket: Duplex, error: unknown, logger: Logger): void {
  const problem = problemOf(error, '')
  if (problem.code === 'internal') logger.error('a connection failed', { error })
  const body = JSON.stringify(problem)
  socket.once('finish', () => socket.destroy())
  socket.end(
    [
      `HTTP/1.1 ${problem.status} ${problem.title}`,
      'Content-Type: application/problem+json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
      ...(problem.status === 401 ? ['WWW-Authenticate: Bearer realm="slipway"'] : []),
      '',
      body,
    ].join('\r\n'),
  )
}
