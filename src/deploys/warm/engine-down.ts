import type { Instance } from '../../runtime/index.ts'

/*
 * An engine or a machine that goes down ends all that runs, and brings it back: that is no fault of what is watched. What is warm
 * tells: nobody starts it again but the engine.
 */

/** What an engine says of a container; null: there is none. */
export type Found = Pick<Instance, 'state' | 'createdAt' | 'startedAt'> | null

export interface Look {
  /** What serves. */
  readonly serving: readonly { readonly id: number; readonly hasEnded: boolean; readonly found: Found }[]
  readonly warm: readonly Found[]
  /** Of a clock that never goes back. */
  readonly nowMs: number
}

/** What the looks before this one found. */
export interface Earlier {
  /** By the id of an instance: its start after the engine was down, for which nothing of the time before is held against it. */
  readonly startedMs: ReadonlyMap<number, number | null>
  /** When what is warm was started last, as far as that excused anything; by the engine's clock. */
  readonly warmSinceMs: number
  /** Since when nobody can tell; null: it can be told. */
  readonly unsureSinceMs: number | null
}

export const nothingEarlier: Earlier = { startedMs: new Map(), warmSinceMs: 0, unsureSinceMs: null }

/** An engine that starts again ends and brings back one container after the other. */
const bringingBackMs = 10_000

/**
 * Whether the ends that were seen, and the errors, are excused: what is warm was started again since what serves was made. One such
 * start excuses once, and what is told of that time later. Null while nobody can tell yet. Pure.
 */
export function judgeEngine(look: Look, before: Earlier): { readonly wasDown: boolean | null; readonly seen: Earlier } {
  const { serving, warm, nowMs } = look
  const madeMs = Math.max(...serving.map(({ found }) => found?.createdAt.getTime() ?? Number.POSITIVE_INFINITY))
  const warmSinceMs = Math.min(...warm.map((found) => found?.startedAt?.getTime() ?? 0))
  const wasDown = warm.length > 0 && warmSinceMs > Math.max(madeMs, before.warmSinceMs)
  const others = wasDown ? serving.map(({ found }) => found) : warm
  const unsureSinceMs = before.unsureSinceMs ?? nowMs
  if (others.some(isNotBack) && nowMs - unsureSinceMs < bringingBackMs)
    return { wasDown: null, seen: { ...before, unsureSinceMs } }
  const startedMs = new Map(serving.map(({ id, found }) => [id, startOf(found)]))
  if (wasDown) return { wasDown, seen: { startedMs, warmSinceMs, unsureSinceMs: null } }
  const ended = serving.filter(({ hasEnded }) => hasEnded)
  const isToldLate =
    ended.length > 0 && ended.every(({ id, found }) => isSameRun(before.startedMs.get(id), startOf(found)))
  return { wasDown: isToldLate, seen: { ...before, unsureSinceMs: null } }
}

const isNotBack = (found: Found): boolean => found !== null && found.state !== 'running'

const startOf = (found: Found): number | null =>
  found?.state === 'running' ? (found.startedAt?.getTime() ?? null) : null

const isSameRun = (then: number | null | undefined, now: number | null): boolean => now !== null && now === then
