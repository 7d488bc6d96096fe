import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { findDatabaseAway, type Outcome, runSchedules } from './run.ts'

/*
 * `node test/support/schedules/cli.ts COUNT [FIRST]`: so many schedules from this seed on, on all cores. Exit 1 when one is
 * broken. With COUNT 1 everything that happened in it is told.
 */

const mostTold = 20
const [count = 1_000, first = 1, step = 0] = process.argv.slice(2).map(Number)

if (step > 0) {
  const databaseAway = await findDatabaseAway()
  await runSchedules(seedsOf(count, first, step), { databaseAway }, (outcome) => void process.send?.(outcome))
  process.disconnect()
} else if (count === 1) {
  const databaseAway = await findDatabaseAway()
  await runSchedules([first], { databaseAway, tracing: true }, (outcome) => {
    console.log(outcome.traces.join('\n'))
    process.exitCode = outcome.violations.length === 0 ? 0 : 1
  })
} else {
  const cores = availableParallelism()
  const begun = performance.now()
  const sum = { schedules: 0, broken: 0, steps: 0, deploys: 0, ...{ live: 0, failed: 0, cancelled: 0, superseded: 0 } }
  const add = (outcome: Outcome): void => {
    sum.schedules += 1
    sum.steps += outcome.steps
    sum.deploys += outcome.deploys
    for (const state of ['live', 'failed', 'cancelled', 'superseded'] as const) sum[state] += outcome.states[state] ?? 0
    if (outcome.violations.length === 0) return
    sum.broken += 1
    process.exitCode = 1
    if (sum.broken <= mostTold) console.log(`seed ${outcome.seed}:\n  ${outcome.violations.join('\n  ')}`)
  }
  const workers = Array.from({ length: cores }, (_, i) => {
    const child = fork(import.meta.filename, [String(count), String(first + i), String(cores)])
    child.on('message', (outcome) => add(outcome as Outcome))
    return new Promise((resolve) => child.once('exit', resolve))
  })
  if ((await Promise.all(workers)).some((code) => code !== 0)) process.exitCode = 1
  console.log(JSON.stringify({ ...sum, seconds: Math.round((performance.now() - begun) / 100) / 10 }))
}

/** Every `by`-th of `length` seeds. */
function* seedsOf(length: number, from: number, by: number): Iterable<number> {
  for (let i = 0; i < length; i += by) yield from + i
}
