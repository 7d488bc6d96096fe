import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { SlipwayError } from '../kernel/errors.ts'
import { silentLogger } from '../kernel/logger.ts'
import { makeCluster } from '../postgres/cluster.ts'
import { formatTotals, type Outcome, readTotals, type Stage, stages, sumTotals, workersOf } from './check-stages.ts'
import { ensureEngine, inspectMachine } from './engine.ts'
import { probeEngine } from './engine-call.ts'
import { stopDaemon } from './engine-start.ts'
import { findLeftOver, lookBefore } from './left-over.ts'
import { ensurePackages } from './packages.ts'
import { fail, say, tellError } from '../kernel/tell.ts'

/*
 * `npm test`: makes the machine ready (packages, an engine when none answers, one PostgreSQL for all tests), runs every stage,
 * ends what it started, and closes with the sum of the tests. Names of stages as arguments run only these.
 */

const socket = '/var/run/docker.sock'

async function check(args: readonly string[], root: string): Promise<number> {
  const chosen = chooseStages(args)
  const scripts = await readScripts(root)
  const engineIsThere = (await probeEngine(socket)).kind !== 'absent'
  await ensurePackages({ tests: true, demo: true, ownPostgres: true, engineIsThere }, { say, root })
  const folder = await mkdtemp(join(tmpdir(), 'slipway-check-'))
  await chmod(folder, 0o711)
  const engine = await ensureEngine({ socket, logFile: join(folder, 'engine.log'), say, machine: inspectMachine() })
  for (const warning of engine.warnings) say(`Warning: ${warning}`)
  const cluster = makeCluster({ dataDir: folder, name: 'control', logger: silentLogger, durable: false })
  const runId = randomUUID()
  const stopped = stopOnSignal()
  try {
    const before = await lookBefore(socket)
    const environment = { ...process.env, TEST_CLUSTER: folder, CHECK_RUN_ID: runId }
    const outcomes = await runStages(chosen, { root, folder, scripts, environment, stopped })
    // Only what is this run's alone can be judged: another run may use the same engine.
    const alone = process.env['CI'] === 'true' || engine.startedPid !== null
    const left = await findLeftOver({ socket, before: alone ? before : null, runId, folder })
    return closeRun(outcomes, left, stopped.aborted)
  } finally {
    await cluster.stop()
    if (engine.startedPid !== null) await stopDaemon(engine.startedPid)
    await rm(folder, { recursive: true, force: true })
  }
}

function chooseStages(args: readonly string[]): readonly Stage[] {
  const unknown = args.filter((name) => !stages.some(({ script }) => script === name))
  if (unknown.length > 0) {
    throw new SlipwayError('bad_request', `There is no stage ${unknown.join(', ')}.`, {
      hint: `Stages: ${stages.map(({ script }) => script).join(' ')}`,
    })
  }
  return args.length === 0 ? stages : stages.filter(({ script }) => args.includes(script))
}

async function readScripts(root: string): Promise<Record<string, string>> {
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
  return manifest.scripts
}

/** Ctrl-C ends the stage that runs (it has the same terminal); the clean-up still happens. */
function stopOnSignal(): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort())
  return stop.signal
}

interface Run {
  readonly root: string
  /** For reports; gone at the end. */
  readonly folder: string
  readonly scripts: Readonly<Record<string, string>>
  readonly environment: NodeJS.ProcessEnv
  readonly stopped: AbortSignal
}

async function runStages(chosen: readonly Stage[], run: Run): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (const stage of chosen) {
    const typesAreWrong = outcomes.some((outcome) => outcome.stage.script === 'types' && outcome.result === 'failed')
    if (run.stopped.aborted || (stage.tests && typesAreWrong)) {
      outcomes.push({ stage, result: 'left out', totals: null })
      continue
    }
    const begin = performance.now()
    if (stage.tests) say(`${stage.name} …`)
    const outcome = await runStage(stage, run)
    outcomes.push(outcome)
    const counted = outcome.totals === null ? '' : ` (${formatTotals(outcome.totals)})`
    say(`${stage.name}: ${outcome.result}${counted} in ${((performance.now() - begin) / 1000).toFixed(1)} s`)
  }
  return outcomes
}

async function runStage(stage: Stage, run: Run): Promise<Outcome> {
  const [program = '', ...words] = (run.scripts[stage.script] ?? '').split(' ')
  const report = join(run.folder, `${stage.script}.json`)
  const counting = ['--json', `--outputFile=${report}`, `--maxWorkers=${workersOf(stage.script, process.env)}`]
  const args = stage.tests ? [...words, ...counting, '--passWithNoTests'] : words
  const { ok, output } = await runProgram(program, args, { run, stage })
  if (!stage.tests) {
    if (!ok) process.stdout.write(`${output.trimEnd()}\n`)
    return { stage, result: ok ? 'passed' : 'failed', totals: null }
  }
  const totals = readTotals(await readFile(report, 'utf8').catch(() => ''))
  const good = ok && totals !== null && totals.failed === 0
  return { stage, result: good ? 'passed' : 'failed', totals }
}

/**
 * In a process group of its own, which ends with its time limit or ours; what a check prints is kept, what tests print is
 * shown.
 */
async function runProgram(
  program: string,
  args: readonly string[],
  { run, stage }: { run: Run; stage: Stage },
): Promise<{ ok: boolean; output: string }> {
  const child = spawn(program, [...args], {
    cwd: run.root,
    env: run.environment,
    // jest writes its JSON to the standard output too when it has nothing else to say there.
    stdio: ['ignore', stage.tests ? 'ignore' : 'pipe', stage.tests ? 'inherit' : 'pipe'],
    detached: true,
  })
  let output = ''
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const end = (signal: NodeJS.Signals): void => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, signal)
  }
  const limit = setTimeout(() => {
    process.stderr.write(` !     ${stage.name} was ended after ${stage.limitMinutes} minutes.\n`)
    end('SIGKILL')
  }, stage.limitMinutes * 60_000)
  const onStop = (): void => end('SIGTERM')
  run.stopped.addEventListener('abort', onStop)
  try {
    const code = await new Promise<number | null>((done, reject) => {
      child.on('error', reject)
      child.on('close', done)
    })
    return { ok: code === 0, output }
  } catch (error) {
    return { ok: false, output: `${program} cannot be started: ${String(error)}` }
  } finally {
    clearTimeout(limit)
    run.stopped.removeEventListener('abort', onStop)
  }
}

function closeRun(outcomes: readonly Outcome[], leftOver: readonly string[], interrupted: boolean): number {
  const failed = outcomes.filter(({ result }) => result === 'failed').map(({ stage }) => stage.name)
  const leftOut = outcomes.filter(({ result }) => result === 'left out').map(({ stage }) => stage.name)
  if (failed.length > 0) say(`Failed: ${failed.join(', ')}`)
  if (leftOut.length > 0) say(`Left out: ${leftOut.join(', ')}`)
  for (const thing of leftOver) tellError(new SlipwayError('conflict', `The tests left something over: ${thing}`))
  const sum = sumTotals(outcomes)
  const total = leftOver.length > 0 || interrupted ? { ...sum, failed: sum.failed + 1 } : sum
  lastLine = formatTotals(total)
  return total.failed > 0 || leftOut.length > 0 ? 1 : 0
}

/** Written when everything is over, so that nothing comes behind it. */
let lastLine = ''

check(process.argv.slice(2), resolve(import.meta.dirname, '../..')).then((code) => {
  process.stdout.write(`${lastLine}\n`, () => process.exit(code))
}, fail)
