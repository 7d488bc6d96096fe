import { mkdtempSync, rmSync } from 'node:fs'
import { createConnection, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A Unix socket in front of another that can be shut: what was open breaks, nobody gets in any more. */
export interface Door {
  readonly path: string
  slam(): void
}

export async function openDoor(to: string): Promise<Door> {
  const folder = mkdtempSync(join(tmpdir(), 'slipway-door-'))
  const path = join(folder, 'sock')
  const open = new Set<Socket>()
  const server = createServer((outer) => {
    const inner = createConnection(to)
    for (const socket of [outer, inner]) {
      open.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => open.delete(socket))
    }
    outer.pipe(inner)
    inner.pipe(outer)
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return {
    path,
    slam() {
      server.close()
      for (const socket of open) socket.destroy()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
