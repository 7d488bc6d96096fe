import type { Command } from 'commander'
import type { CronJob, CronRun } from '../api-types.ts'
import { followEvents } from '../event-stream.ts'
import { exits } from '../failure.ts'
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
      job.nextAt === null ? '-' : `${job.nextAt.slice(0, 16).replace('T', ' ')}Z`,
      job.last === null ? 'never' : ago(job.last.startedAt ?? job.last.dueAt),
      `${describeOutcome(job.last)}${job.skippedAt === null ? '' : `; skipped ${ago(job.skippedAt)}, it still went`}`,
    ]),
  )
}

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
  const events = followEvents(client, `${path}/runs/${asked.id}/log`, {
    signal: detachOnInterrupt(),
    patient: true,
    onLost: (why) => out.note(`Connection lost (${why}) Trying again …`),
    onBack: () => out.note('Connected again.'),
  })
  for await (const { event, data } of events) {
    if (event === 'line') out.logLine((data as { text: string }).text)
    if (event !== 'end') continue
    const ended = data as CronRun
    out.data(ended)
    out.note(`${label} ${describeOutcome(ended)}`)
    return ended.state === 'succeeded' ? exits.done : exits.failed
  }
  out.note('')
  out.note(`Detached; ${label} goes on. See how it ends with: slipway cron ${environment}`)
  return exits.detached
}
