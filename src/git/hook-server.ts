import { chmod, mkdir, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { SlipwayError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import { sanitizeLine } from '../kernel/terminal-text.ts'
import type { OpenPush, OpenPushes } from './open-pushes.ts'
import { encodePkt, flushPkt } from './pkt-line.ts'
import type { RefReport } from './plan-push.ts'
import { type PushRequest, readHookConversation } from './push-request.ts'
import type { PushAnswer } from './receive-push.ts'

export interface HookServer {
  listen(): Promise<void>
  /** Lets go of all hooks; what they have begun goes on. */
  close(): Promise<void>
}

type Receive = (push: OpenPush, request: PushRequest, answer: PushAnswer) => Promise<void>

/** The hook sends its header line and what git tells it at once; a person never waits here. */
const conversationMs = 30_000
/** The hook gives up after 60 s without a sign of life. */
const signOfLifeMs = 10_000
/** `slipway-hook 1 <secret>`, and nothing longer is a header. */
const longestHeader = 200

/**
 * Listens on a Unix socket for the proc-receive hook. The hook is a pipe: it sends a header line with the push's secret,
 * then git's own words; it gets frames of one letter, four bytes of length and a payload: `o` for git, `e` for the pusher,
 * `k` a sign of life, `x` its exit code.
 */
export function makeHookServer(deps: {
  socketPath: string
  pushes: OpenPushes
  receive: Receive
  logger: Logger
}): HookServer {
  const open = new Set<Socket>()
  let server: Server | null = null
  return {
    async listen() {
      if (Buffer.byteLength(deps.socketPath) > 107) {
        throw new SlipwayError('bad_request', `The path of the hook socket is too long: ${deps.socketPath}`, {
          hint: 'Choose a data folder with a shorter path (SLIPWAY_DATA).',
        })
      }
      await mkdir(dirname(deps.socketPath), { recursive: true, mode: 0o700 })
      await rm(deps.socketPath, { force: true })
      server = createServer({ allowHalfOpen: true }, (socket) => {
        open.add(socket)
        socket.on('close', () => open.delete(socket))
        serveHook(deps, socket)
      })
      await new Promise<void>((resolve, reject) => {
        server?.once('error', reject).listen(deps.socketPath, resolve)
      })
      await chmod(deps.socketPath, 0o600)
    },
    async close() {
      for (const socket of open) socket.destroy()
      await new Promise<void>((resolve) => (server === null ? resolve() : server.close(() => resolve())))
    },
  }
}

function serveHook(deps: { pushes: OpenPushes; receive: Receive; logger: Logger }, socket: Socket): void {
  const give = makeFrames(socket)
  let push: OpenPush | null = null
  const limit = setTimeout(() => socket.destroy(), conversationMs)
  const alive = setInterval(() => give('k', Buffer.alloc(0)), signOfLifeMs)
  socket.on('close', () => {
    clearTimeout(limit)
    clearInterval(alive)
  })
  socket.on('error', (error) => deps.logger.debug('a hook’s connection broke', { error }))

  const conversation = readHookConversation({
    hello(abilities) {
      const agreed = ['push-options', 'atomic'].filter((ability) => abilities.includes(ability))
      give('o', Buffer.concat([encodePkt(`version=1\0${agreed.join(' ')}\n`), flushPkt]))
    },
    request(request) {
      clearTimeout(limit)
      if (push !== null) void answerHook(deps, { push, request, socket, give })
    },
  })
  const header = readHeader((secret) => {
    push = deps.pushes.take(secret)
    if (push === null) throw new SlipwayError('not_allowed', 'Nobody waits for this push.')
  })
  socket.on('data', (chunk: Buffer) => {
    try {
      const rest = header(chunk)
      if (rest.length > 0) conversation.write(rest)
    } catch (error) {
      // Fails closed: the hook sees its connection end without an answer and refuses the push.
      deps.logger.warn('a hook was sent away', { error })
      const taken = push
      push = null
      socket.destroy()
      if (taken !== null) void deps.pushes.settle(taken)
    }
  })
}

type Give = (kind: 'o' | 'e' | 'k' | 'x', payload: Buffer) => boolean

function makeFrames(socket: Socket): Give {
  return (kind, payload) => {
    if (!socket.writable) return true
    const head = Buffer.alloc(5, kind, 'latin1')
    head.writeUInt32BE(payload.length, 1)
    return socket.write(Buffer.concat([head, payload]))
  }
}

/** Takes chunks; gives back what comes after the header line. */
function readHeader(onSecret: (secret: string) => void): (chunk: Buffer) => Buffer {
  let before: Buffer | null = Buffer.alloc(0)
  return (chunk) => {
    if (before === null) return chunk
    const all = Buffer.concat([before, chunk])
    const end = all.indexOf(10)
    if (end > longestHeader || (end === -1 && all.length > longestHeader)) {
      throw new SlipwayError('bad_request', 'The header line of a hook is too long.')
    }
    before = end === -1 ? all : null
    if (end === -1) return Buffer.alloc(0)
    const found = /^slipway-hook 1 ([A-Za-z0-9_-]{43})$/.exec(all.toString('latin1', 0, end))
    if (found === null) throw new SlipwayError('bad_request', 'This is not the header line of a hook.')
    onSecret(found[1] as string)
    return all.subarray(end + 1)
  }
}

async function answerHook(
  deps: { pushes: OpenPushes; receive: Receive; logger: Logger },
  { push, request, socket, give }: { push: OpenPush; request: PushRequest; socket: Socket; give: Give },
): Promise<void> {
  const hookGone = new AbortController()
  socket.on('close', () => hookGone.abort())
  const gone = AbortSignal.any([push.clientGone, hookGone.signal])
  const answer: PushAnswer = {
    gone,
    async line(text) {
      const room = give('e', Buffer.from(`${sanitizeLine(text)}\n`))
      if (!room) await drained(socket, gone)
    },
    report(reports) {
      give('o', Buffer.concat([...reports.map((report) => encodePkt(reportLine(report))), flushPkt]))
    },
  }
  try {
    await deps.receive(push, request, answer)
    give('x', Buffer.from([0]))
  } catch (error) {
    deps.logger.error('receiving a push ended in an error', { app: push.app, error })
    give('x', Buffer.from([1]))
  } finally {
    socket.end()
    await deps.pushes.settle(push)
  }
}

function reportLine({ ref, refused }: RefReport): Buffer {
  const name = Buffer.from(ref, 'latin1')
  if (refused === null) return Buffer.concat([Buffer.from('ok '), name, Buffer.from('\n')])
  const reason = sanitizeLine(refused).slice(0, 500)
  return Buffer.concat([Buffer.from('ng '), name, Buffer.from(` ${reason}\n`)])
}

/** Waits until the hook has read what it was given, or is gone. */
function drained(socket: Socket, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done)
      gone.removeEventListener('abort', done)
      resolve()
    }
    if (gone.aborted) return resolve()
    socket.on('drain', done)
    gone.addEventListener('abort', done, { once: true })
  })
}
