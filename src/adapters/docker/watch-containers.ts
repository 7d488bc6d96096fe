import type { Readable } from 'node:stream'
import type { Logger } from '../../kernel/logger.ts'
import { labelNames, type InstanceChange } from '../../runtime/index.ts'
import type { Engine } from './engine.ts'

const longestWaitMs = 5_000

interface WatchOptions {
  readonly engine: Engine
  readonly installation: string
  readonly logger: Logger
}

/** Follows the engine's events until the signal fires. Comes back by itself; `resync` each time the stream begins. */
export async function watchContainers(
  options: WatchOptions,
  onChange: (change: InstanceChange) => void,
  signal: AbortSignal,
): Promise<void> {
  let waitMs = 100
  while (!signal.aborted) {
    try {
      const events = await openEvents(options, signal)
      waitMs = 100
      onChange({ kind: 'resync', containerId: null, labels: {} })
      await readEvents(events, onChange, signal)
    } catch (error) {
      if (!signal.aborted) options.logger.debug('engine events cannot be read', { error })
    }
    await pause(waitMs, signal)
    waitMs = Math.min(waitMs * 2, longestWaitMs)
  }
}

async function openEvents({ engine, installation }: WatchOptions, signal: AbortSignal): Promise<Readable> {
  const filters = {
    type: ['container'],
    event: ['start', 'die', 'destroy'],
    label: [`${labelNames.installation}=${installation}`],
  }
  // The types take lists for all filters but `event`'s and `label`'s names.
  const how = { filters: filters as Record<string, unknown> }
  const stream = await engine.call('follow events', (docker) => docker.getEvents(how), { signal })
  return stream as Readable
}

function readEvents(events: Readable, onChange: (change: InstanceChange) => void, signal: AbortSignal): Promise<void> {
  let rest = ''
  events.setEncoding('utf8')
  events.on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const change = parseEvent(line)
      if (change !== null) onChange(change)
    }
  })
  return new Promise((resolve) => {
    const stop = (): void => void events.destroy()
    signal.addEventListener('abort', stop, { once: true })
    const end = (): void => {
      signal.removeEventListener('abort', stop)
      resolve()
    }
    events.once('error', end)
    events.once('close', end)
    if (signal.aborted) stop()
  })
}

const kinds: Readonly<Record<string, InstanceChange['kind']>> = { start: 'started', die: 'died', destroy: 'removed' }

export function parseEvent(line: string): InstanceChange | null {
  if (line.trim() === '') return null
  const event = JSON.parse(line) as {
    Action?: string
    Actor?: { ID?: string; Attributes?: Record<string, string> }
  }
  const kind = kinds[event.Action ?? '']
  if (kind === undefined) return null
  const ours = Object.entries(event.Actor?.Attributes ?? {}).filter(([name]) => name.startsWith('slipway.'))
  return { kind, containerId: event.Actor?.ID ?? null, labels: Object.fromEntries(ours) }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end, { once: true })
  })
}
