import { type CronJob, cronJobsOf } from '../builds/index.ts'
import { isAway, SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import { faultPoint } from '../kernel/fault-point.ts'
import { plainLine } from '../kernel/terminal-text.ts'
import { isDatabaseAway } from '../postgres/index.ts'
import type { Exit, InstanceSpec } from '../runtime/index.ts'
import type { CronNeeds } from './needs.ts'
import { judgeEnd } from './plan.ts'
import * as jobsStore from './jobs-store.ts'
import * as runsStore from './runs-store.ts'

/*
 * One run, from its row to its end. Safe to begin again after a crash: the container is found by its name and labels, and what it has
 * printed and how it ended with it.
 */

/** The reasons of a run’s signal: the server stops, and its next life goes on with it; or its environment goes. */
export const stopping = new Error('the server stops')
export const ending = new SlipwayError('cancelled', 'Its environment was removed.')

const tailLines = 20
const lineLength = 500
const againMs = 5_000

type Spec = InstanceSpec & { readonly argv: readonly string[] }

export async function runJob(needs: CronNeeds, run: runsStore.CronRun, signal: AbortSignal): Promise<void> {
  const term = needs.place.term()
  const tail: string[] = []
  const outcome = await attempt(needs, run, { tail, signal }).catch((error: unknown): runsStore.RunEnd | null => {
    if (signal.reason === stopping || isDatabaseAway(error)) throw error
    const { message } = error instanceof SlipwayError ? error : new SlipwayError('internal', 'Slipway failed at it.')
    needs.logger.warn('a run of a job failed', { runId: run.id, label: run.label, error })
    return { exitCode: null, error: message, tail }
  })
  // Whoever lost the place says nothing of what is another’s now.
  await term()
  if (outcome !== null) {
    faultPoint('job.ended')
    await record(needs, run, outcome)
    faultPoint('job.recorded')
  }
  await removeContainers(needs, run.id)
}

/** Null when there is nothing to do any more. */
async function attempt(
  needs: CronNeeds,
  run: runsStore.CronRun,
  { tail, signal }: { tail: string[]; signal: AbortSignal },
): Promise<runsStore.RunEnd | null> {
  const { db, deploys, memory, place } = needs
  const term = place.term()
  const spec = await deploys.readSpec(run.deployId)
  const job = cronJobsOf(spec.build.config).find(({ label }) => label === run.label)
  if (job === undefined) throw new SlipwayError('not_found', `v${spec.number} has no job ${run.label}.`)
  const { memoryBytes } = spec.build.config.resources
  // Read right before each start: a value may have been revoked since.
  const readContainer = async (): Promise<Spec> => ({
    ...(await deploys.readSpec(run.deployId)).job({ runId: run.id, label: run.label }),
    argv: ['/bin/sh', '-c', job.run],
  })
  const wanted = deploys.wantedMemory(run.environmentId, memoryBytes)
  const giveBack = run.state === 'waiting' ? await memory?.assertForStart(wanted) : undefined
  try {
    await term()
    const sinceMs = await runsStore.recordStarted(db, run.id)
    if (sinceMs === null) return null
    faultPoint('job.started')
    const masker = await needs.masks?.ofRelease(spec.releaseId)
    const openMask = masker === undefined ? () => (line: string) => line : () => masker.lines()
    const exit = await follow(needs, { job, readContainer, tail, openMask, sinceMs, signal })
    return { exitCode: exit.exitCode, error: describeExit(exit, memoryBytes), tail }
  } finally {
    giveBack?.()
  }
}

interface Going {
  readonly job: CronJob
  readonly readContainer: () => Promise<Spec>
  readonly tail: string[]
  readonly openMask: () => (line: string) => string
  readonly sinceMs: number
  readonly signal: AbortSignal
}

/** An engine that is away comes back, and the container went on meanwhile. */
async function follow(needs: CronNeeds, { job, readContainer, tail, openMask, sinceMs, signal }: Going): Promise<Exit> {
  const { clock, runtime, place } = needs
  const term = place.term()
  const { cancelled, released } = splitSignal(signal)
  const endMs = clock.monotonicMs() - sinceMs + job.timeoutMs
  for (;;) {
    tail.length = 0
    const mask = openMask()
    // One that is over its time by now is asked for once more: it may have ended by itself.
    const timeoutMs = Math.max(1_000, endMs - clock.monotonicMs())
    const begunMs = clock.monotonicMs()
    await term()
    try {
      const onLine = (line: string): void => {
        tail.push(plainLine(mask(line)).slice(0, lineLength))
        if (tail.length > tailLines) tail.shift()
      }
      const container = await readContainer()
      return await Promise.race([runtime.run(container, { onLine, timeoutMs, signal: cancelled }), released])
    } catch (error) {
      if (signal.aborted) throw error
      if (clock.monotonicMs() - begunMs >= timeoutMs) throw tookTooLong(job, error)
      if (!isAway(error)) throw error
      needs.logger.warn('the engine does not tell of a run; it is asked again', { label: job.label, error })
      await Promise.race([clock.sleep(againMs, cancelled), released])
    }
  }
}

function splitSignal(signal: AbortSignal): { cancelled: AbortSignal; released: Promise<never> } {
  const cancel = new AbortController()
  const released = new Promise<never>((_, reject) => {
    const onAbort = (): void => {
      if (signal.reason === stopping) reject(stopping)
      else cancel.abort(signal.reason)
    }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
  released.catch(() => undefined)
  return { cancelled: cancel.signal, released }
}

function tookTooLong({ timeoutMs }: CronJob, cause: unknown): SlipwayError {
  const limit = `It was still running after ${timeoutMs / 1000} s, its time limit, and was stopped.`
  return new SlipwayError('command_failed', limit, { cause })
}

function describeExit({ exitCode, outOfMemory }: Exit, memoryBytes: number): string | null {
  if (outOfMemory) return `It was killed: it used more than ${Math.round(memoryBytes / 1024 ** 2)} MB of memory.`
  return exitCode === 0 ? null : `It ended with exit code ${exitCode}.`
}

async function record({ db }: CronNeeds, run: runsStore.CronRun, end: runsStore.RunEnd): Promise<void> {
  await db.transaction(async (tx) => {
    const around = await jobsStore.holdSurroundings(tx, run.environmentId)
    if (around === null || !(await runsStore.recordEnded(tx, run.id, end))) return
    const before = await jobsStore.lockFailing(tx, run)
    if (before === null) return
    const { after, tell } = judgeEnd(before, end.error === null, before.now)
    await jobsStore.recordFailing(tx, run, after)
    if (tell === null) return
    const data = { label: run.label, run: run.id, message: end.error, exitCode: end.exitCode, tail: end.tail.slice(-5) }
    const failed = tell === 'cron.failed' ? { ...data, failures: after.failures } : { failures: before.failures }
    const { appId } = around
    const event = { appId, environmentId: run.environmentId, by: run.requestedBy ?? 'slipway' }
    await appendEvent(tx, { kind: tell, ...event, data: { label: run.label, ...failed } })
  })
}

async function removeContainers({ runtime }: CronNeeds, runId: number): Promise<void> {
  for (const { containerId } of await runtime.list({ cronRun: runId })) await runtime.remove(containerId)
}
