import type { Clock } from '../kernel/clock.ts'
import { type InstanceChange, labelNames, type Runtime } from '../runtime/index.ts'
import type { Journals } from './journals.ts'
import { encodeNote } from './line.ts'
import type { Printer } from './place.ts'

/** Tells in an instance's log that it ended, and that it was started again, between what it printed before and after. */
export interface StateNotes {
  /** `printer`: whose lines are kept under which name; undefined for a container that nobody follows. */
  onChange(change: InstanceChange, printer: Printer | undefined): void
  /** Slipway is about to stop it: its end is none of its own. */
  expectEnd(containerId: string): void
  /** Everything that the container printed up to now is kept: what happened to it comes behind that, before it prints more. */
  catchUp(containerId: string, printer: Printer): Promise<Seen>
  /** The same, but whoever asks says when the start is told: some of what is to be kept next may be from before it. */
  look(containerId: string, printer: Printer): Promise<Seen & { readonly restart: Restart | null }>
}

export interface Seen {
  /** What it prints from now on is of the start that was seen. */
  readonly isRunning: boolean
}

export interface Restart {
  readonly at: Date
  tell(): void
}

type Needs = { readonly runtime: Pick<Runtime, 'inspect'>; readonly journals: Journals; readonly clock: Clock }

/** Its output may have been read to the end before the engine tells that it ended: nobody calls `catchUp` for a while then. */
const settleMs = 500
const mostRemembered = 10_000
/** SIGKILL: by the kernel, the engine or a person. */
const killed = 137

export function makeStateNotes({ runtime, journals, clock }: Needs): StateNotes {
  const waiting = new Map<string, Promise<() => void>[]>()
  const expected = new Set<string>()
  /** When each was started last, by its name: Slipway may have made it anew. Those that came first are forgotten first. */
  const begun = new Map<string, number>()

  const settle = async (containerId: string): Promise<void> => {
    const notes = waiting.get(containerId) ?? []
    waiting.delete(containerId)
    for (const note of notes) (await note)()
  }
  const tell = (containerId: string, { place, from }: Printer, text: Promise<string>): void => {
    const at = clock.now()
    const note = text.then((what) => () => journals.open(place).append(encodeNote(at, `${from} ${what}`)))
    waiting.set(containerId, [...(waiting.get(containerId) ?? []), note])
    void clock.sleep(settleMs).then(() => settle(containerId))
  }
  const describeEnd = async (containerId: string, exitCode: number | undefined): Promise<string> => {
    const found = await runtime.inspect(containerId).catch(() => null)
    const how = found?.outOfMemory === true ? 'was ended: it used more memory than it may' : 'ended'
    const isBack = found?.state === 'restarting' || found?.state === 'running'
    return `${how}${codeWords(exitCode)}${isBack ? '; it is started again, later each time while it ends at once' : ''}`
  }

  const look: StateNotes['look'] = async (containerId, { place, from }) => {
    await settle(containerId)
    const found = await runtime.inspect(containerId)
    const isRunning = found?.state === 'running'
    if (found === null || found.startedAt === null || found.labels[labelNames.kind] !== 'instance')
      return { isRunning, restart: null }
    const { name, startedAt: at } = found
    const before = begun.get(name)
    // One that ends at once is hardly ever seen running, after a restart of Slipway above all.
    if (!isRunning && before !== undefined) return { isRunning, restart: null }
    begun.delete(name)
    begun.set(name, at.getTime())
    if (begun.size > mostRemembered) begun.delete(begun.keys().next().value ?? '')
    if (before === undefined || before === at.getTime()) return { isRunning, restart: null }
    return {
      isRunning,
      restart: { at, tell: () => journals.open(place).append(encodeNote(at, `${from} was started again`)) },
    }
  }

  return {
    expectEnd: (containerId) => void expected.add(containerId),
    look,
    async catchUp(containerId, printer) {
      const { isRunning, restart } = await look(containerId, printer)
      restart?.tell()
      return { isRunning }
    },
    onChange({ kind, containerId, labels, exitCode }, printer) {
      if (containerId === null || labels[labelNames.kind] !== 'instance') return
      if (kind === 'died' && printer !== undefined) {
        const isExpected = expected.delete(containerId)
        const stopped = Promise.resolve(`was stopped by Slipway${codeWords(exitCode)}`)
        tell(containerId, printer, isExpected ? stopped : describeEnd(containerId, exitCode))
      }
      if (kind === 'removed') expected.delete(containerId)
    },
  }
}

const codeWords = (exitCode: number | undefined): string =>
  exitCode === undefined ? '' : ` (exit code ${exitCode}${exitCode === killed ? ', killed' : ''})`
