import { availableParallelism } from 'node:os'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { findDatabaseAway, type Outcome, runSchedules } from './run.ts'

/*
 * `node test/support/schedules/cli.ts COUNT [FIRST] [until-broken]`: so many schedules from this seed on, on all cores, or only
 * until one is broken. Exit 1 when one is. With COUNT 1 everything that happened in it is told.
 */

interface Share {
  readonly count: number
  readonly first: number
  readonly step: number
}

const mostTold = 20
/** Hardly anything outlives its schedule: with much room for what is new, little of it is ever looked at again. */
const youngMb = 64

if (isMainThread) {
  const [count = 1_000, first = 1] = process.argv.slice(2, 4).map(Number)
  const isFine = count === 1 ? await tellOne(first) : await playAll(count, first, process.argv[4] === 'until-broken')
  process.exitCode = isFine ? 0 : 1
} else {
  const { count, first, step } = workerData as Share
  const databaseAway = await findDatabaseAway()
  await runSchedules(seedsOf(count, first, step), { databaseAway }, (outcome) => parentPort?.postMessage(outcome))
}

async function tellOne(seed: number): Promise<boolean> {
  let isFine = false
  await runSchedules([seed], { databaseAway: await findDatabaseAway(), tracing: true }, (outcome) => {
    console.log(outcome.traces.join('\n'))
    isFine = outcome.violations.length === 0
  })
  return isFine
}

async function playAll(count: number, first: number, untilBroken: boolean): Promise<boolean> {
  const workers: Worker[] = []
  const begun = performance.now()
  const sum = { schedules: 0, broken: 0, steps: 0, deploys: 0, ...{ live: 0, failed: 0, cancelled: 0, superseded: 0 } }
  const add = (outcome: Outcome): void => {
    sum.schedules += 1
    sum.steps += outcome.steps
    sum.deploys += outcome.deploys
    for (const state of ['live', 'failed', 'cancelled', 'superseded'] as const) sum[state] += outcome.states[state] ?? 0
    if (outcome.violations.length === 0) return
    sum.broken += 1
    if (untilBroken) for (const worker of workers) void worker.terminate()
    if (sum.broken <= (untilBroken ? 1 : mostTold))
      console.log(`seed ${outcome.seed}:\n  ${outcome.violations.join('\n  ')}`)
  }
  const cores = availableParallelism()
  const ends = Array.from({ length: cores }, (_, i) => {
    const worker = new Worker(import.meta.filename, {
      workerData: { count: count - i, first: first + i, step: cores } satisfies Share,
      resourceLimits: { maxYoungGenerationSizeMb: youngMb },
    })
    workers.push(worker)
    worker.on('message', (outcome) => add(outcome as Outcome))
    return new Promise<void>((resolve, reject) => {
      worker.once('error', reject)
      worker.once('exit', () => resolve())
    })
  })
  await Promise.all(ends)
  console.log(JSON.stringify({ ...sum, seconds: Math.round((performance.now() - begun) / 100) / 10 }))
  return sum.broken === 0 && sum.schedules === count
}

/** Every `by`-th of `length` seeds. */
function* seedsOf(length: number, from: number, by: number): Iterable<number> {
  for (let i = 0; i < length; i += by) yield from + i
}
