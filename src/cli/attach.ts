import type { WebSocket } from 'ws'
import {
  type ClientMessage,
  decodeContent,
  encodeContent,
  makeReceiveWindow,
  makeSendWindow,
  readServerMessage,
  sendContent,
  type ServerMessage,
  type SignalName,
} from '../kernel/attachment.ts'
import { Failure } from './failure.ts'

/** What ends an attachment, in the server's words. */
export type AttachmentEnd = Extract<ServerMessage, { type: 'exit' | 'failed' }>

export interface Here {
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  /** This terminal is the command's: keys go to it as they are, Ctrl-C too. */
  readonly hasTerminal: boolean
}

/** The server pings every 15 s; three missed are a dead connection. */
const silentMs = 45_000
/** Those that are passed on. Without a terminal Ctrl-C is one of them. */
const passedOn: readonly SignalName[] = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGUSR2']

/** Joins this process to a command at the other end of `socket`, until that has ended. `lost` makes the error for a cut connection. */
export async function attach(socket: WebSocket, here: Here, lost: (why: string) => Failure): Promise<AttachmentEnd> {
  const leave: (() => void)[] = []
  const on = <T extends string>(emitter: NodeJS.EventEmitter, event: T, listener: (...args: never[]) => void): void => {
    emitter.on(event, listener as (...args: unknown[]) => void)
    leave.push(() => emitter.off(event, listener as (...args: unknown[]) => void))
  }
  const say = (message: ClientMessage): void => {
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message))
  }
  try {
    passSignals(say, () => socket.terminate(), on)
    if (here.hasTerminal) followTerminal(here, say, on, leave)
    const sent = sendInput(socket, here.stdin, say, leave)
    return await receive(socket, here, { say, give: sent, lost })
  } finally {
    for (const undo of leave) undo()
    socket.close()
    here.stdin.pause()
  }
}

type On = (emitter: NodeJS.EventEmitter, event: string, listener: (...args: never[]) => void) => void
type Say = (message: ClientMessage) => void

/** A command that does not heed Ctrl-C is left with the second. */
function passSignals(say: Say, hangUp: () => void, on: On): void {
  let interrupts = 0
  for (const name of passedOn) {
    on(process, name, () => {
      if (name === 'SIGINT' && ++interrupts > 1) hangUp()
      else say({ type: 'signal', name })
    })
  }
}

function followTerminal({ stdin, stdout }: Here, say: Say, on: On, leave: (() => void)[]): void {
  const tell = (): void => say({ type: 'size', columns: stdout.columns, rows: stdout.rows })
  on(stdout, 'resize', tell)
  // It may have changed since it was asked for.
  tell()
  stdin.setRawMode(true)
  leave.push(() => stdin.setRawMode(false))
}

/** Returns what is to be called with the room that the server tells of. */
function sendInput(socket: WebSocket, stdin: NodeJS.ReadStream, say: Say, leave: (() => void)[]): (n: number) => void {
  const window = makeSendWindow()
  const isOver = (): boolean => socket.readyState !== socket.OPEN
  const send = (chunk: Buffer): void => socket.send(encodeContent('stdin', chunk))
  const onData = (content: Buffer): void => {
    stdin.pause()
    void sendContent(content, window, send, isOver).then((isSent) => {
      if (isSent && !isOver()) stdin.resume()
    })
  }
  const onEnd = (): void => say({ type: 'end' })
  stdin.on('data', onData)
  stdin.once('end', onEnd)
  // One that was never open, or is closed: nothing will come.
  stdin.once('error', onEnd)
  leave.push(() => {
    stdin.off('data', onData).off('end', onEnd)
    window.close()
  })
  return (bytes) => window.give(bytes)
}

interface Receiving {
  readonly say: Say
  readonly give: (bytes: number) => void
  readonly lost: (why: string) => Failure
}

function receive(socket: WebSocket, here: Here, { say, give, lost }: Receiving): Promise<AttachmentEnd> {
  const window = makeReceiveWindow()
  let end: AttachmentEnd | null = null
  let written: Promise<void> = Promise.resolve()
  let why = 'it was cut'
  return new Promise((resolve, reject) => {
    const heard = (): void => void timer.refresh()
    const timer = setTimeout(() => {
      why = `nothing came for ${silentMs / 1000} s`
      socket.terminate()
    }, silentMs)
    socket.on('ping', heard)
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      heard()
      if (!isBinary) {
        const said = readServerMessage(data.toString('utf8'))
        if (said?.type === 'more') give(said.bytes)
        else if (said?.type === 'exit' || said?.type === 'failed') end = said
        return
      }
      const { channel, content } = decodeContent(data) ?? { channel: null, content: data }
      if ((channel !== 'stdout' && channel !== 'stderr') || !window.came(content.length)) return socket.terminate()
      written = written
        .then(() => write(here[channel], content))
        .then(() => {
          const bytes = window.used(content.length)
          if (bytes > 0) say({ type: 'more', bytes })
        })
    })
    socket.on('error', (error) => (why = error.message))
    socket.on('close', () => {
      clearTimeout(timer)
      void written.then(() => (end === null ? reject(lost(why)) : resolve(end)))
    })
    socket.resume()
  })
}

/** Resolves when it is taken: whoever reads us slowly slows the command down. */
function write(stream: NodeJS.WriteStream, content: Buffer): Promise<void> {
  return new Promise((resolve) => stream.write(content, () => resolve()))
}
