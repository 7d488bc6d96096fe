import { cpus, loadavg, totalmem } from 'node:os'
import { ensureBaseImage } from '../support/base-image.ts'
import { measureConcurrency, slots } from './concurrency.ts'
import { measureDeploys } from './deploy-overhead.ts'
import * as figures from './figures.ts'
import { measureIdle } from './idle.ts'
import { measureLimits } from './limits.ts'
import { measureLogs } from './logs.ts'
import { measureMoves, measureWarm } from './moves.ts'
import { measureMemory } from './memory.ts'
import { residentMb } from './process-figures.ts'
import { environments, measureProxying } from './proxying.ts'
import { type BenchServer, startServer } from './server.ts'
import { measurePushes } from './swap-by-push.ts'
import { measureStatus } from './status.ts'
import { measureSwaps } from './swap.ts'
import { measureTakeOver } from './take-over.ts'
import { type Figure, renderTable } from './table.ts'

/*
 * `npm run bench`: measures each figure beside the floor of the same run and prints one table. `-- --quick` takes some
 * minutes; `-- deploy swap` measures only these. With `--strict` a missed aim is exit code 1.
 */

const parts = [
  'deploy',
  'moves',
  'concurrency',
  'swap',
  'proxying',
  'limits',
  'logs',
  'idle',
  'take-over',
  'memory',
  'status',
] as const
type Part = (typeof parts)[number]

const full = {
  ...{
    deploys: 7,
    moves: 8,
    swaps: 100,
    pushes: 5,
    proxyingRounds: 9,
    proxyingSeconds: 3,
    limitRounds: 6,
    logRounds: 5,
    statusRounds: 9,
  },
  concurrency: { apps: 20, rounds: 5 },
  idle: { environments: 200, windows: 3, windowSeconds: 60, settleSeconds: 35 },
  takeOver: { deploys: 20, rounds: 3 },
  packMb: 200,
}
const quick = {
  ...{
    deploys: 3,
    moves: 3,
    swaps: 10,
    pushes: 1,
    proxyingRounds: 3,
    proxyingSeconds: 1,
    limitRounds: 2,
    logRounds: 2,
    statusRounds: 3,
  },
  concurrency: { apps: 6, rounds: 1 },
  idle: { environments: 6, windows: 1, windowSeconds: 10, settleSeconds: 3 },
  takeOver: { deploys: 6, rounds: 1 },
  packMb: null,
}

async function bench(args: readonly string[]): Promise<number> {
  const unknown = args.filter((arg) => ![...parts, '--quick', '--strict'].some((known) => known === arg))
  if (unknown.length > 0) {
    process.stderr.write(
      ` !     npm run bench does not know ${unknown.join(' ')}: --quick, --strict, ${parts.join(', ')}.\n`,
    )
    return 2
  }
  const chosen = parts.filter((part) => args.includes(part))
  const plan = {
    ...(args.includes('--quick') ? quick : full),
    parts: new Set<Part>(chosen.length === 0 ? parts : chosen),
  }
  const loadBefore = loadavg()
  const result = await measure(plan)
  const memory = `${Math.round(totalmem() / 1024 ** 3)} GB`
  const load = (values: readonly number[]): string => values.map((value) => value.toFixed(1)).join(' ')
  result.notes.push(
    `machine: ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), ${memory}, Node ${process.version}; load ${load(loadBefore)} before, ${load(loadavg())} after`,
  )
  process.stdout.write(`\n${renderTable(result.figures)}\n${result.notes.map((note) => `- ${note}\n`).join('')}`)
  return args.includes('--strict') && result.figures.some(({ met }) => met === false) ? 1 : 0
}

type Plan = Omit<typeof full, 'packMb'> & { packMb: number | null; parts: ReadonlySet<Part> }
interface Result {
  readonly figures: Figure[]
  readonly notes: string[]
}

async function measure(plan: Plan): Promise<Result> {
  const result: Result = { figures: [], notes: [] }
  await ensureBaseImage()
  if (['deploy', 'moves', 'swap', 'memory'].some((part) => plan.parts.has(part as Part))) {
    await onServer({}, (server) => measureOnServer(server, plan, result))
  }
  await measureMany(plan, result)
  if (plan.parts.has('proxying')) {
    // Busy ones stay in the processor's caches; when all are asked evenly none does, which is the worst there can be.
    for (const asked of [100, environments]) {
      say(`Proxying: ${plan.proxyingRounds} rounds of ${plan.proxyingSeconds} s on each side, ${asked} hosts asked`)
      const rounds = await measureProxying(plan.proxyingRounds, plan.proxyingSeconds, asked)
      result.figures.push(...figures.proxyingFigures(rounds))
      result.notes.push(figures.proxyingNotes(rounds))
    }
  }
  if (plan.parts.has('limits')) {
    say(`Limits: ${plan.limitRounds} rounds of 5 s, alone and beside a flood`)
    result.figures.push(...figures.limitFigures(await measureLimits(plan.limitRounds, 5)))
  }
  if (plan.parts.has('logs')) {
    say(`Logs: ${plan.logRounds} rounds of 8 s on each side`)
    result.figures.push(...figures.logFigures(await measureLogs(plan.logRounds, 8)))
  }
  if (plan.parts.has('status')) {
    say(`Status: ${plan.statusRounds} rounds`)
    result.figures.push(figures.statusFigure(await measureStatus(plan.statusRounds)))
  }
  return result
}

/** A server for some measurements, removed afterwards whatever happens. */
async function onServer(
  settings: Readonly<Record<string, string>>,
  work: (server: BenchServer) => Promise<void>,
): Promise<void> {
  const server = await startServer(settings)
  const onSignal = (): void => void server.remove().finally(() => process.exit(130))
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  try {
    await work(server)
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
    await server.remove()
  }
}

/** Many deploys and many environments: each on a server of its own, so that none finds what another left. */
async function measureMany({ parts: chosen, ...plan }: Plan, { figures: table }: Result): Promise<void> {
  const twoSlots = { SLIPWAY_BUILD_SLOTS: String(slots) }
  if (chosen.has('concurrency')) {
    const { apps, rounds } = plan.concurrency
    say(`Concurrency: ${rounds} rounds of ${apps} builds by hand and ${apps} pushes at once in turn, ${slots} slots`)
    await onServer(twoSlots, async (server) => {
      table.push(...figures.concurrencyFigures(await measureConcurrency(server, plan.concurrency), slots))
    })
  }
  if (chosen.has('idle')) {
    say(`Idle: ${plan.idle.environments} environments, ${plan.idle.windows} × ${plan.idle.windowSeconds} s`)
    await onServer(twoSlots, async (server) => {
      table.push(...figures.idleFigures(await measureIdle(server, plan.idle)))
    })
  }
  if (chosen.has('take-over')) {
    say(`Take-over: ${plan.takeOver.rounds} × kill -9 while ${plan.takeOver.deploys} deploys run`)
    await onServer(twoSlots, async (server) => {
      table.push(...figures.takeOverFigures(await measureTakeOver(server, plan.takeOver)))
    })
  }
}

async function measureOnServer(server: BenchServer, plan: Plan, result: Result): Promise<void> {
  if (plan.parts.has('deploy')) {
    say(`Deploys: ${plan.deploys} rounds of the floor and Slipway in turn`)
    const rounds = await measureDeploys(server, plan.deploys)
    result.figures.push(...figures.deployFigures(rounds))
    result.notes.push(...figures.deployNotes(rounds))
  }
  if (plan.parts.has('moves')) {
    say(`Going back and promoting: ${plan.moves} rounds of a bare container, a rollback and a promotion in turn`)
    const rounds = await measureMoves(server, plan.moves)
    result.figures.push(...figures.moveFigures(rounds))
    result.notes.push(figures.moveNotes(rounds))
    say(`Going back to what is warm: ${plan.moves} rounds`)
    result.figures.push(...figures.warmFigures(await measureWarm(server, plan.moves)))
  }
  if (plan.parts.has('swap')) await measureBothSwaps(server, plan, result)
  if (plan.parts.has('memory')) {
    if (plan.packMb !== null) say(`Memory: a push of ${plan.packMb} MB`)
    const push = plan.packMb === null ? null : await measureMemory(server, plan.packMb)
    const atEnd = residentMb(server.pid)
    if (atEnd === null) throw new Error('Slipway ended during the measurements.')
    result.figures.push(...figures.memoryFigures(atEnd, push))
  }
}

async function measureBothSwaps(server: BenchServer, plan: Plan, result: Result): Promise<void> {
  say(`Swaps: ${plan.swaps} through the proxy adapter, under load`)
  const swapped = await measureSwaps(plan.swaps)
  result.figures.push(...figures.swapFigures('swap', swapped))
  result.notes.push(figures.swapNotes('swap, under load', swapped.own))
  say(`Swaps: ${plan.pushes} by pushes, under load`)
  const pushed = await measurePushes(server, plan.pushes)
  result.figures.push(...figures.swapFigures('swap by push', pushed))
  result.notes.push(figures.swapNotes('swap by push, under load', pushed.own))
}

function say(text: string): void {
  process.stdout.write(`-----> ${text}\n`)
}

bench(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    process.stderr.write(` !     ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    process.exitCode = 1
  },
)
