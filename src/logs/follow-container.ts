import type { Clock } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Slots } from '../kernel/slots.ts'
import type { InstanceLogLine, Runtime } from '../runtime/index.ts'
import type { Masks } from '../vars/index.ts'
import type { Budget } from './budget.ts'
import { findResume, type Resume } from './doubles.ts'
import type { Journals, Writer } from './journals.ts'
import { earlier, encodeLine, encodeNote, stampOf } from './line.ts'
import type { Printer } from './place.ts'
import type { StateNotes } from './state-notes.ts'

const longestWaitMs = 5_000
const noteEveryMs = 60_000

export interface Pace {
  /** Its end is waited for: it is read as fast as it comes. */
  hurry: boolean
  /** Ends the stream that is open, so that another is opened behind what is kept. */
  reopen: AbortController
}

export interface Follow {
  readonly runtime: Pick<Runtime, 'readLog' | 'inspect'>
  readonly journals: Journals
  /** The secrets of a release are replaced in all that is kept; without it nothing is. */
  readonly masks?: Pick<Masks, 'ofRelease'>
  readonly clock: Clock
  readonly logger: Logger
  readonly printer: Printer
  readonly containerId: string
  readonly releaseId: number
  readonly budgets: readonly Budget[]
  readonly notes: StateNotes
  readonly pace: Pace
  readonly resuming: Slots
  readonly signal: AbortSignal
}

/** Until the container has ended and everything was read. The engine may come and go meanwhile. */
export async function followContainer(follow: Follow): Promise<void> {
  const { runtime, containerId, clock, signal, logger } = follow
  const writer = follow.journals.open(follow.printer.place)
  let hasEnded = false
  for (let waitMs = 100; !signal.aborted; ) {
    try {
      const { isRunning } = await follow.notes.catchUp(containerId, follow.printer)
      const came = await readFromLast({ ...follow, mayStart: !isRunning }, writer)
      if (hasEnded) break
      const instance = await runtime.inspect(containerId)
      if (instance === null) break
      // What it printed last may have come after the stream's end: it is read once more.
      hasEnded = instance.state === 'exited'
      if (came) waitMs = 100
      if (hasEnded) continue
    } catch (error) {
      if (signal.aborted) break
      logger.debug('following a container’s output goes on later', { containerId, error })
    }
    await clock.sleep(waitMs, signal).catch(() => undefined)
    waitMs = Math.min(waitMs * 2, longestWaitMs)
  }
  await writer.flush()
}

/**
 * The engine finds its newest lines at once, but reads all of its 30 MB to find a moment: that is asked for only when the
 * newest lines leave a gap.
 */
const newestFirst = 10_000

type Reading = Follow & {
  /** It did not run when it was looked at: what it prints may be of a start that is not told yet. */
  readonly mayStart: boolean
}

/** Reads on behind the last line that is kept, until the stream ends. True when there was something. */
async function readFromLast(follow: Reading, writer: Writer): Promise<boolean> {
  await writer.flush()
  const giveBack = await follow.resuming.take(follow.signal)
  const resume = await findResume(writer.folder, follow.printer.container).finally(giveBack)
  if (resume.since !== null) {
    const outcome = await readStream(follow, writer, { resume, newest: newestFirst })
    if (outcome !== 'gap') return outcome === 'came'
  }
  return (await readStream(follow, writer, { resume, newest: null })) === 'came'
}

/** Each output has lines of its own. As long as it is not known what is secret, nothing is read. */
async function openMask({ masks, releaseId }: Follow): Promise<(line: InstanceLogLine) => string> {
  if (masks === undefined) return ({ text }) => text
  const masker = await masks.ofRelease(releaseId)
  const outputs = { stdout: masker.lines(), stderr: masker.lines() }
  return ({ output, text }) => outputs[output](text)
}

async function readStream(
  follow: Reading,
  writer: Writer,
  { resume, newest }: { resume: Resume; newest: number | null },
): Promise<'came' | 'nothing' | 'gap'> {
  const { runtime, containerId, printer, budgets, pace, signal, clock } = follow
  const { from, container } = printer
  let outcome: 'came' | 'nothing' = 'nothing'
  let isFirst = true
  let { mayStart } = follow
  let last = ''
  let notedMs = Number.NEGATIVE_INFINITY
  pace.reopen = new AbortController()
  const until = AbortSignal.any([signal, pace.reopen.signal])
  // Behind that: a wish to open the stream again meanwhile is not lost.
  const mask = await openMask(follow)
  const options = { since: resume.since, signal: until, ...(newest === null ? {} : { newest }) }
  for await (const lines of runtime.readLog(containerId, options)) {
    const encoded = lines.map((line) => encodeLine({ ...line, text: mask(line), from, container }))
    if (isFirst && newest !== null && !resume.isKnown(encoded[0] ?? '')) return 'gap'
    isFirst = false
    const fresh = await resume.withoutDoubles(encoded)
    let bytes = 0
    const start = mayStart && fresh.length > 0 ? await follow.notes.look(containerId, printer) : null
    if (start !== null) mayStart = !start.isRunning
    let restart = start?.restart ?? null
    for (const line of fresh) {
      if (restart !== null && isOfThen(line, restart.at)) {
        restart.tell()
        restart = null
      }
      // When it rotates its file, the engine (20.10) tells the line before once more.
      if (line === last) continue
      last = line
      writer.append(line)
      bytes += line.length
    }
    restart?.tell()
    if (fresh.length > 0) outcome = 'came'
    await writer.room()
    if (pace.hurry) continue
    const waits = await Promise.all(budgets.map((budget) => budget.spend(bytes, signal)))
    if (waits.includes(true) && clock.monotonicMs() - notedMs > noteEveryMs) {
      notedMs = clock.monotonicMs()
      writer.append(encodeNote(clock.now(), `${from} prints faster than is read here; some of it may be missing.`))
    }
  }
  return outcome
}

/** The engine notes a start when that is done: on a busy machine what is started has printed by then. */
const notedLateMs = 1_000

/** Lines begin with their time. */
const isOfThen = (line: string, at: Date): boolean => line >= earlier(stampOf(at), notedLateMs)
