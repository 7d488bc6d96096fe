import { silentLogger } from '../../../src/kernel/logger.ts'
import { makePool } from '../../../src/postgres/index.ts'
import { checkHealed, findUnrest } from './healed.ts'
import { type History, makeHistory } from './history.ts'
import { expectNext } from './promptness.ts'
import { makeWorld, type Options, type World } from './world.ts'

/** What a schedule came to. */
export interface Outcome {
  readonly seed: number
  readonly violations: readonly string[]
  readonly traces: readonly string[]
  readonly steps: number
  readonly deploys: number
  readonly states: Readonly<Record<string, number>>
}

const healMs = 20 * 60_000
const mostSteps = 300_000

/** Only the pool makes the error that says that the database is away. */
export async function findDatabaseAway(): Promise<Error> {
  const dead = makePool({ host: '/nonexistent', port: 1 }, { logger: silentLogger, size: 1 })
  const away: unknown = await dead.query('select 1').catch((error: unknown) => error)
  await dead.close()
  return away as Error
}

interface Run {
  readonly world: World
  readonly history: History
  steps: number
  /** When it is looked again whether everything has come to rest. */
  lookMs: number
}

/** Of these seeds. */
export async function runSchedules(
  seeds: Iterable<number>,
  options: Options,
  onOutcome: (outcome: Outcome) => void,
): Promise<void> {
  const { stackTraceLimit } = Error
  // A stack costs more than all else that an error does, and nobody reads it here.
  if (options.tracing !== true) Error.stackTraceLimit = 0
  try {
    await playAll(seeds, options, onOutcome)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

/**
 * Some at a time: between two steps of one everything that waits goes on, and to wait for that costs as much for one as for
 * all; but so many that what they have does not fit into the processor's cache costs more.
 */
async function playAll(
  seeds: Iterable<number>,
  options: Options,
  onOutcome: (outcome: Outcome) => void,
): Promise<void> {
  const left = seeds[Symbol.iterator]()
  const atOnce = 8
  let runs: Run[] = []
  const add = (): void => {
    while (runs.length < atOnce) {
      const next = left.next() as IteratorResult<number, undefined>
      if (next.done === true) return
      const world = makeWorld(next.value, options)
      runs.push({ world, history: makeHistory(world), steps: 0, lookMs: 0 })
    }
  }
  for (add(); runs.length > 0; add()) {
    // Everything that waits for nothing else is done then.
    await new Promise((resolve) => setImmediate(resolve))
    const going: Run[] = []
    for (const run of runs) {
      if (await isOver(run)) onOutcome(outcomeOf(run))
      else going.push(run)
    }
    runs = going
  }
}

async function isOver(run: Run): Promise<boolean> {
  const { world, history } = run
  run.steps += 1
  const went = world.timeline.step()
  if (world.violations.length > 0) return true
  if (run.steps > mostSteps) world.violate(`no end after ${mostSteps} steps`)
  if (!went) world.violate('nothing is due any more')
  if (!history.isHealed() || world.timeline.nowMs() < run.lookMs) return false
  const unrest = await findUnrest(world)
  // What was asked for before comes in meanwhile.
  const isOpen = world.database.tables.deploys.select(world.look(), (d) => d.finished_at === null).length > 0
  if (unrest.length === 0 && !isOpen) {
    checkHealed(world)
    return true
  }
  run.lookMs = world.timeline.nowMs() + 200
  const working = history.lives.findLast((life) => life.isAlive() && life.isWorking())
  if (working !== undefined) expectNext(world, working)
  if (world.timeline.nowMs() > history.healedMs() + healMs) for (const what of unrest) world.violate(what)
  return world.violations.length > 0
}

function outcomeOf({ world, history, steps }: Run): Outcome {
  for (const life of history.lives) life.kill()
  const all = world.database.tables.deploys.select(world.look(), () => true)
  const states: Record<string, number> = {}
  for (const { state } of all) states[state] = (states[state] ?? 0) + 1
  const { seed, violations, traces } = world
  return { seed, violations, traces, steps, deploys: all.length, states }
}
