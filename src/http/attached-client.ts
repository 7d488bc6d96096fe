import type { WebSocket } from 'ws'
import {
  type ClientMessage,
  decodeContent,
  encodeContent,
  makeReceiveWindow,
  makeSendWindow,
  readClientMessage,
  sendContent,
  type ServerMessage,
  windowBytes,
} from '../kernel/attachment.ts'
import { SlipwayError } from '../kernel/errors.ts'
import type { AttachedClient } from '../runtime/index.ts'
import { type AttachedInput, makeAttachedInput } from './attached-input.ts'

/** Whoever has been silent for so many pings is gone, whatever the network says. */
const silentPings = 2
/** Said before anybody listens; nobody has so much to say. */
const mostEarly = 256

/** Content has its window; of answers to pings, and the like, nobody leaves so much unread. */
const mostUnread = 2 * windowBytes

type Said = Exclude<ClientMessage, { type: 'more' }>

/** The other end of a WebSocket. It is always read: how much content may come is said by windows (kernel/attachment.ts). */
export function makeSocketClient(socket: WebSocket, { pingMs }: { pingMs: number }): AttachedClient {
  const over = new AbortController()
  const sending = makeSendWindow()
  const receiving = makeReceiveWindow()
  const tell = (message: ServerMessage): void => {
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message))
  }
  let unanswered = 0
  const timer = setInterval(() => {
    if (unanswered >= silentPings) return socket.terminate()
    unanswered += 1
    socket.ping()
  }, pingMs)
  socket.on('pong', () => (unanswered = 0))
  // Pings are answered by the library, also those of a client that reads no answers.
  socket.on('ping', () => {
    if (socket.bufferedAmount > mostUnread) socket.terminate()
  })
  socket.on('close', () => {
    clearInterval(timer)
    over.abort(new SlipwayError('cancelled', 'Whoever ran it has hung up.'))
    sending.close()
  })
  // `close` follows.
  socket.on('error', () => undefined)

  const heard: (Buffer | Said)[] = []
  let input: AttachedInput | null = null
  const hear = (said: Buffer | Said): void => {
    if (input === null) {
      if (heard.push(said) > mostEarly) socket.terminate()
    } else if (Buffer.isBuffer(said)) input.content(said)
    else input.say(said)
  }

  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) {
      const { channel, content } = decodeContent(data) ?? { channel: null, content: data }
      if (channel !== 'stdin' || !receiving.came(content.length))
        return socket.close(1008, 'more than there is room for')
      return hear(content)
    }
    const said = readClientMessage(data.toString('utf8'))
    if (said?.type === 'more') sending.give(said.bytes)
    else if (said !== null) hear(said)
  })

  return {
    gone: over.signal,
    listen(to) {
      const more = (bytes: number): void => tell({ type: 'more', bytes })
      input = makeAttachedInput(to, { receiving, more, fail: () => socket.terminate() })
      for (const said of heard.splice(0)) hear(said)
    },
    async send(channel, content) {
      const send = (chunk: Buffer): void => socket.send(encodeContent(channel, chunk))
      await sendContent(content, sending, send, () => over.signal.aborted)
    },
    tell,
    end() {
      // Its buffer goes first. A client that does not close in turn is cut by the library after 30 s.
      socket.close(1000)
      clearInterval(timer)
    },
  }
}
