import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { chmod, unlink } from 'node:fs/promises'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'

export interface HttpServer {
  /** The port, when it listens on one. */
  readonly port: number | null
  /** Takes no new connections, lets what is open finish for `graceMs`, then cuts it. */
  close(graceMs: number): Promise<void>
}

export type ListenAddress =
  /** The folder must exist and be closed to others; a file that a dead server left is replaced. */
  { readonly socketPath: string; readonly mode: number } | { readonly host: string; readonly port: number }

/** What takes a connection over from HTTP. */
export interface Upgrades {
  takes(req: IncomingMessage): boolean
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Cuts what is still open. */
  close(): void
}

/**
 * Headers have 15 s to arrive. Bodies have no limit of time here: a push may take an hour. API bodies have one of their own.
 */
export async function startHttpServer(
  listener: RequestListener,
  address: ListenAddress,
  upgrades?: Upgrades,
): Promise<HttpServer> {
  const server = createServer(
    {
      headersTimeout: 15_000,
      requestTimeout: 0,
      connectionsCheckingInterval: 5_000,
      maxHeaderSize: 16 * 1024,
      // Longer than the proxy keeps an idle connection, so that it never sends into one that closes.
      keepAliveTimeout: 75_000,
      // Any other is answered as if it had not asked to.
      shouldUpgradeCallback: (req) => upgrades?.takes(req) === true,
    },
    listener,
  )
  if (upgrades !== undefined) server.on('upgrade', (req, socket, head) => upgrades.upgrade(req, socket, head))
  await listen(server, address)
  const bound = server.address()
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : null,
    close: (graceMs) => closeServer(server, graceMs, upgrades),
  }
}

async function listen(server: Server, address: ListenAddress): Promise<void> {
  const isSocket = 'socketPath' in address
  if (isSocket) await unlink(address.socketPath).catch(ignoreMissing)
  const listening = once(server, 'listening')
  // Made closed, then opened to `mode`: there is no moment in which others could connect. It is bound before `listen` returns.
  const umask = isSocket ? process.umask(0o177) : null
  try {
    if (isSocket) server.listen(address.socketPath)
    else server.listen(address.port, address.host)
  } finally {
    if (umask !== null) process.umask(umask)
  }
  await listening
  if (isSocket) await chmod(address.socketPath, address.mode)
}

async function closeServer(server: Server, graceMs: number, upgrades?: Upgrades): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const timer = setTimeout(() => {
    server.closeAllConnections()
    upgrades?.close()
  }, graceMs)
  await closed
  clearTimeout(timer)
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
}
