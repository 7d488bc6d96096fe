import type { Command } from 'commander'
import type { CronJob, CronRun } from '../api-types.ts'
import { followEvents } from '../event-stream.ts'
import { exits, Failure } from '../failure.ts'
import { detachOnInterrupt } from '../follow-deploy.ts'
import { ago } from '../output.ts'
import {
  chooseEnvironment,
  type CommonOptions,
  environmentPath,
  type Run,
  type Session,
  withEnvironment,
  withExample,
  withJson,
} from '../session.ts'
import { readCount } from './deploys.ts'

interface RunsOptions extends CommonOptions {
  readonly job?: string
  readonly failed?: boolean
  readonly since?: string
  readonly lines: string
  readonly before?: string
}

export function addCronVerbs(program: Command, run: Run): void {
  const cron = program.command('cron').description('what an environment does at certain times')
  const list = cron
    .command('list', { isDefault: true })
    .argument('[env]', 'the environment (default: test)')
    .description('its jobs: when each is due next, and how its last run ended')
  withExample(
    withJson(withEnvironment(list)).action(run<[string | undefined], CommonOptions>(listJobs)),
    'slipway cron live -a shop',
  )
  const runs = cron
    .command('runs')
    .argument('[env]', 'the environment (default: test)')
    .description('what ran, when, and how it ended: the newest runs of its jobs')
    .option('--job <label>', 'only of this job')
    .option('--failed', 'only those that failed')
    .option('--since <time>', 'not before: a time, or how long ago (90s, 10m, 2h, 3d)')
    .option('-n, --lines <n>', 'how many of the newest', '20')
    .option('--before <run>', 'go on behind this run of an earlier page')
  withExample(
    withJson(withEnvironment(runs)).action(run<[string | undefined], RunsOptions>(listRuns)),
    'slipway cron runs live --since 12h --failed',
  )
  const log = cron
    .command('log')
    .argument('<run>', 'its number: slipway cron runs')
    .argument('[env]', 'the environment (default: test)')
    .description('what a run printed; one that goes on is followed to its end')
  withExample(
    withJson(withEnvironment(log)).action(run<[string, string | undefined], CommonOptions>(showLog)),
    'slipway cron log 1234 live',
  )
  const now = cron
    .command('run')
    .argument('<label>', 'the job')
    .argument('[env]', 'the environment (default: test)')
    .description('run a job now, and follow what it prints')
  withExample(
    withJson(withEnvironment(now)).action(run<[string, string | undefined], CommonOptions>(runNow)),
    'slipway cron run clean-up live',
  )
}

async function listJobs(session: Session, [name]: [string | undefined], options: CommonOptions): Promise<void> {
  const { out } = session
  const environment = chooseEnvironment(name, options)
  const app = await session.app()
  const { jobs } = await session.client().call<{ jobs: CronJob[] }>('GET', `${environmentPath(app, environment)}/cron`)
  out.data({ jobs })
  if (jobs.length === 0) {
    out.note(`What serves in ${environment} of ${app} has no jobs. They stand in slipway.yml under cron.`)
    return
  }
  out.table(
    ['JOB', 'SCHEDULE', 'NEXT', 'LAST', 'OUTCOME'],
    jobs.map((job) => [
      job.label,
      job.timezone === 'UTC' ? job.schedule : `${job.schedule} (${job.timezone})`,
      job.nextAt === null ? '-' : inMinutes(job.nextAt),
      job.last === null ? 'never' : ago(job.last.startedAt ?? job.last.dueAt),
      `${describeOutcome(job.last)}${job.skippedAt === null ? '' : `; skipped ${ago(job.skippedAt)}, it still went`}`,
    ]),
  )
}

async function listRuns(session: Session, [name]: [string | undefined], options: RunsOptions): Promise<void> {
  const { out } = session
  const environment = chooseEnvironment(name, options)
  const query = new URLSearchParams({ limit: String(readCount(options.lines, 1000)) })
  const { job, since, before, failed = false } = options
  for (const [key, value] of Object.entries({ job, since, before, ...(failed ? { state: 'failed' } : {}) }))
    if (value !== undefined) query.set(key, value)
  const path = `${environmentPath(await session.app(), environment)}/cron/runs?${query.toString()}`
  const page = await session.client().call<{ runs: CronRun[]; next: number | null }>('GET', path)
  out.data(page)
  if (page.runs.length === 0) {
    out.note(failed ? `No such run of ${environment} failed.` : `Nothing of this kind ran in ${environment}.`)
    return
  }
  out.table(
    ['RUN', 'JOB', 'DUE', 'BY', 'OUTCOME'],
    page.runs.map((each) => [
      String(each.id),
      each.label,
      inMinutes(each.dueAt),
      each.requestedBy ?? 'schedule',
      describeOutcome(each),
    ]),
  )
  if (page.next !== null) out.note(`Older: the same with --before ${page.next}`)
}

async function showLog(
  session: Session,
  [id, name]: [string, string | undefined],
  options: CommonOptions,
): Promise<number> {
  const environment = chooseEnvironment(name, options)
  const path = `${environmentPath(await session.app(), environment)}/cron`
  const ended = await follow(session, `${path}/runs/${readRunId(id)}/log`)
  if (ended === null) return exits.detached
  session.out.note(`${ended.label} ${describeOutcome(ended)}`)
  return exits.done
}

function readRunId(text: string): number {
  if (/^[1-9][0-9]{0,14}$/.test(text)) return Number(text)
  throw new Failure(exits.wrongUse, `“${text}” is no number of a run.`, 'See them with: slipway cron runs')
}

/** In UTC, as jobs are due. */
const inMinutes = (time: string): string => `${time.slice(0, 16).replace('T', ' ')}Z`

/** `failed after 3 s: It ended with exit code 2.` */
function describeOutcome(run: CronRun | null): string {
  if (run === null) return '-'
  if (run.state === 'waiting') return 'waits for its turn'
  const spent = spentSeconds(run)
  if (run.state === 'running') return 'is going'
  const after = spent === null ? '' : ` after ${spent} s`
  return run.error === null ? `${run.state}${after}` : `${run.state}${after}: ${run.error}`
}

function spentSeconds({ startedAt, finishedAt }: CronRun): number | null {
  if (startedAt === null || finishedAt === null) return null
  return Math.round((Date.parse(finishedAt) - Date.parse(startedAt)) / 100) / 10
}

async function runNow(
  session: Session,
  [label, name]: [string, string | undefined],
  options: CommonOptions,
): Promise<number> {
  const { out } = session
  const client = session.client()
  const environment = chooseEnvironment(name, options)
  const path = `${environmentPath(await session.app(), environment)}/cron`
  const asked = await client.call<CronRun>('POST', `${path}/${encodeURIComponent(label)}/runs`)
  out.note(`Running ${label} in ${environment} (run ${asked.id}) …`)
  const ended = await follow(session, `${path}/runs/${asked.id}/log`)
  if (ended !== null) {
    out.note(`${label} ${describeOutcome(ended)}`)
    return ended.state === 'succeeded' ? exits.done : exits.failed
  }
  out.note('')
  out.note(`Detached; ${label} goes on. See how it ends with: slipway cron log ${asked.id} ${environment}`)
  return exits.detached
}

/** What a run prints, to its end; null: whoever looked has gone before. */
async function follow({ client, out }: Session, path: string): Promise<CronRun | null> {
  const events = followEvents(client(), path, {
    signal: detachOnInterrupt(),
    patient: true,
    onLost: (why) => out.note(`Connection lost (${why}) Trying again …`),
    onBack: () => out.note('Connected again.'),
  })
  let lines = 0
  for await (const { event, data } of events) {
    if (event === 'line') {
      lines += 1
      out.logLine((data as { text: string }).text)
    }
    if (event !== 'end') continue
    const ended = data as CronRun
    if (lines === 0 && ended.tail.length > 0) {
      out.note('Its log is not kept any more, only what it printed last:')
      for (const text of ended.tail) out.logLine(text)
    }
    out.data(ended)
    return ended
  }
  return null
}
