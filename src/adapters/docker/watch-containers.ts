import type { Readable } from 'node:stream'
import type { Logger } from '../../kernel/logger.ts'
import { labelNames, type InstanceChange } from '../../runtime/index.ts'
import type { Engine } from './engine.ts'

const longestWaitMs = 5_000

interface WatchOptions {
  readonly engine: Engine
  readonly installation: string
  readonly logger: Logger
  /** Called each time the engine's stream begins, before those who watch are told. */
  readonly onBegun: () => void
}

type OnChange = (change: InstanceChange) => void
const resync: InstanceChange = { kind: 'resync', containerId: null, labels: {} }

/**
 * Follows the engine's events for as many as want to know, in one stream: every check of an instance watches too. Whoever
 * comes later is told `resync` at once, so nobody misses anything between looking and listening.
 */
export function makeContainerWatch(options: WatchOptions): (onChange: OnChange, signal: AbortSignal) => void {
  const watchers = new Set<{ readonly onChange: OnChange }>()
  let stream: { readonly end: AbortController; isOpen: boolean } | null = null

  const open = (): void => {
    const own = { end: new AbortController(), isOpen: false }
    stream = own
    const tell: OnChange = (change) => {
      if (change.kind === 'resync') options.onBegun()
      own.isOpen = true
      for (const watcher of [...watchers]) watcher.onChange(change)
    }
    void watchContainers(options, { tell, onBroken: () => (own.isOpen = false) }, own.end.signal)
  }

  return (onChange, signal) => {
    if (signal.aborted) return
    const watcher = { onChange }
    watchers.add(watcher)
    const leave = (): void => {
      watchers.delete(watcher)
      if (watchers.size > 0) return
      stream?.end.abort()
      stream = null
    }
    signal.addEventListener('abort', leave, { once: true })
    if (stream === null) open()
    else if (stream.isOpen) queueMicrotask(() => watchers.has(watcher) && onChange(resync))
  }
}

/** Comes back by itself until the signal fires. */
async function watchContainers(
  options: WatchOptions,
  { tell, onBroken }: { tell: OnChange; onBroken: () => void },
  signal: AbortSignal,
): Promise<void> {
  let waitMs = 100
  while (!signal.aborted) {
    try {
      const events = await openEvents(options, signal)
      waitMs = 100
      tell(resync)
      await readEvents(events, tell, signal)
    } catch (error) {
      if (!signal.aborted) options.logger.debug('engine events cannot be read', { error })
    }
    onBroken()
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

function readEvents(events: Readable, onChange: OnChange, signal: AbortSignal): Promise<void> {
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
  const exitCode = Number(event.Actor?.Attributes?.['exitCode'])
  return {
    kind,
    containerId: event.Actor?.ID ?? null,
    labels: Object.fromEntries(ours),
    ...(kind === 'died' && Number.isInteger(exitCode) ? { exitCode } : {}),
  }
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
