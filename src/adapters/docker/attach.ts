import type { Duplex } from 'node:stream'
import { isAway, SlipwayError } from '../../kernel/errors.ts'
import type { Attached, AttachedSpec, Exit } from '../../runtime/index.ts'
import { asInstance, inspectContainer, inspectEnded } from './containers.ts'
import { makeDemuxer } from './demux.ts'
import type { Engine } from './engine.ts'
import { type StartOptions, startContainer } from './start-container.ts'

type Output = { readonly channel: 'stdout' | 'stderr'; readonly content: Buffer }

/** Makes the container, connects to it, and only then starts it: nothing of its output is missed. */
export async function runAttached(spec: AttachedSpec, options: StartOptions): Promise<Attached> {
  const { engine, signal } = options
  const over = new AbortController()
  const connection = { stream: null as Duplex | null }
  try {
    const { containerId } = await startContainer(spec, {
      ...options,
      async onCreated(id) {
        connection.stream = await connect(engine, id, AbortSignal.any([over.signal, signal]))
      },
    })
    if (connection.stream === null) throw new SlipwayError('conflict', 'There is such a container already.')
    const hasTerminal = spec.terminal !== null
    const attached = makeAttached({ engine, containerId, stream: connection.stream, hasTerminal, over })
    if (spec.terminal !== null) await attached.resize(spec.terminal)
    return attached
  } catch (error) {
    over.abort()
    throw error
  }
}

async function connect(engine: Engine, id: string, signal: AbortSignal): Promise<Duplex> {
  const how = { stream: true, stdin: true, stdout: true, stderr: true, hijack: true }
  const attach = engine.call('attach', (docker) => docker.getContainer(id).attach(how), { signal })
  const stream = (await attach) as unknown as Duplex
  // Whoever reads it hears of an error; writing into what has ended is none.
  stream.on('error', () => undefined)
  return stream
}

interface Connected {
  readonly engine: Engine
  readonly containerId: string
  readonly stream: Duplex
  readonly hasTerminal: boolean
  readonly over: AbortController
}

function makeAttached({ engine, containerId, stream, hasTerminal, over }: Connected): Attached {
  return {
    containerId,
    write: (content) => writeTo(stream, content),
    endInput: () => void stream.end(),
    output: () => readOutput(stream, hasTerminal),
    resize: ({ columns, rows }) =>
      whileItRuns(engine.call('resize', (docker) => docker.getContainer(containerId).resize({ w: columns, h: rows }))),
    signal: (name) =>
      whileItRuns(engine.call('signal', (docker) => docker.getContainer(containerId).kill({ signal: name }))),
    exit: () => readExit(engine, containerId),
    close: () => over.abort(),
  }
}

/** The command may have ended a moment before, and the engine says so in several ways. */
async function whileItRuns(call: Promise<unknown>): Promise<void> {
  try {
    await call
  } catch (error) {
    if (isAway(error)) throw error
  }
}

function writeTo(stream: Duplex, content: Buffer): Promise<void> {
  if (stream.destroyed || stream.writableEnded || stream.write(content)) return Promise.resolve()
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done)
      stream.off('close', done)
      resolve()
    }
    stream.once('drain', done)
    stream.once('close', done)
  })
}

async function* readOutput(stream: Duplex, hasTerminal: boolean): AsyncGenerator<Output> {
  const frames: Output[] = []
  const demux = makeDemuxer((channel, content) => frames.push({ channel, content }))
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (hasTerminal) yield { channel: 'stdout', content: chunk }
      else {
        demux(chunk)
        yield* frames.splice(0)
      }
    }
  } catch {
    // A connection that breaks ends the output; whether the command has ended, too, is asked next.
  }
}

/** A command that closes its outputs may still go on. */
async function readExit(engine: Engine, containerId: string): Promise<Exit> {
  for (let waitMs = 10; ; waitMs = Math.min(waitMs * 2, 1_000)) {
    const found = await inspectEnded(() => inspectContainer(engine, containerId))
    if (found === null) throw new SlipwayError('command_failed', 'The command’s container was removed while it ran.')
    const { state, exitCode, outOfMemory } = asInstance(found)
    if (state === 'exited') return { exitCode: exitCode ?? -1, outOfMemory }
    await new Promise((resolve) => setTimeout(resolve, waitMs))
  }
}
