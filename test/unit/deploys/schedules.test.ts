import { expect, it } from '@jest/globals'
import { findDatabaseAway, type Outcome, runSchedules } from '../../support/schedules/run.ts'

/*
 * The real queue, runner, steps, retirement, comparison and builds on a database, an engine and a proxy in memory. From a
 * seed: who pushes, promotes, goes back and cancels, when servers die, freeze and stop, how long everything takes, what fails
 * before it takes effect and what only says so. Each schedule ends with everything healed; what must hold then, and all the
 * time, is in test/support/schedules/{world,healed}.ts.
 *
 * SLIPWAY_SCHEDULES=N runs N of them, SLIPWAY_SEED=N begins with that one; `npm run schedules` runs 100,000. One seed with
 * all that happened: `node test/support/schedules/cli.ts 1 SEED`.
 */
const count = Number(process.env['SLIPWAY_SCHEDULES'] ?? 800)
const first = Number(process.env['SLIPWAY_SEED'] ?? 1)

it(`comes to rest in ${count} schedules, with nothing broken and nothing left over`, async () => {
  const databaseAway = await findDatabaseAway()
  const broken: Outcome[] = []
  const states: Record<string, number> = {}
  const seeds = Array.from({ length: count }, (_, i) => first + i)
  await runSchedules(seeds, { databaseAway }, (outcome) => {
    if (outcome.violations.length > 0) broken.push(outcome)
    for (const [state, n] of Object.entries(outcome.states)) states[state] = (states[state] ?? 0) + n
  })
  expect(broken.map(({ seed, violations }) => ({ seed, violations }))).toEqual([])
  // Schedules in which nothing happens would show nothing.
  for (const state of ['live', 'failed', 'cancelled', 'superseded']) expect(states[state]).toBeGreaterThan(0)
}, 600_000)
