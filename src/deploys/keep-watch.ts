import { asSlipwayError } from '../kernel/errors.ts'
import type { Queryable, Transaction } from '../postgres/database.ts'
import type { DeployRequest } from './deploy.ts'
import { lockLine } from './line-store.ts'
import type { Tools } from './steps/index.ts'
import { type AnswerCounts, type Answers, type Ended, judgeWatch } from './watch.ts'

const lookEveryMs = 1_000

interface WatchNeeds {
  readonly tools: Tools
  readonly answers: AnswerCounts | undefined
  /** Puts the way back into the line and wakes the queue. */
  readonly request: (tx: Transaction, request: DeployRequest) => Promise<unknown>
  readonly wake: () => void
}

/** Looks after all deploys that are watched, also those of an earlier life of the server. Ends with the signal. */
export async function keepWatch(needs: WatchNeeds, signal: AbortSignal): Promise<void> {
  const { tools } = needs
  const counting = new Map<number, ReturnType<AnswerCounts['count']>>()
  const end = (deployId: number): void => {
    counting.get(deployId)?.end()
    counting.delete(deployId)
  }
  while (!signal.aborted) {
    try {
      const watched = await listWatched(tools.db)
      for (const one of watched) {
        if (!counting.has(one.id) && needs.answers !== undefined)
          counting.set(one.id, needs.answers.count(one.environmentId))
        await lookAt(needs, one, counting.get(one.id)?.read() ?? null)
      }
      for (const id of counting.keys()) if (!watched.some((one) => one.id === id)) end(id)
    } catch (error) {
      if (!signal.aborted) tools.logger.warn('what went live could not be watched', { error })
    }
    await tools.clock.sleep(lookEveryMs, signal).catch(() => undefined)
  }
  for (const id of counting.keys()) end(id)
}

interface Watched {
  readonly id: number
  readonly environmentId: number
  readonly environment: string
  readonly instancesOf: number
  readonly release: number
  readonly errors: number
}

async function lookAt(needs: WatchNeeds, watched: Watched, answers: Answers | null): Promise<void> {
  const { tools } = needs
  const why = judgeWatch(watched, { ended: await listEnded(tools.db, watched.instancesOf), answers })
  if (why === null) return
  try {
    const isAsked = await tools.db.transaction((tx) => goBack(needs, tx, { watched, why }))
    if (isAsked) tools.logger.warn('a deploy is gone back from', { deployId: watched.id, why })
    needs.wake()
  } catch (error) {
    tools.logger.error('a deploy could not be gone back from', {
      deployId: watched.id,
      why,
      error: asSlipwayError(error),
    })
    throw error
  }
}

/** False when there is nothing warm to go back to, or somebody else was quicker. */
async function goBack(
  { request }: WatchNeeds,
  tx: Transaction,
  { watched, why }: { watched: Watched; why: string },
): Promise<boolean> {
  const { id, environmentId, environment, release } = watched
  await lockLine(tx, environmentId)
  const [mine] = await tx.query(
    `update deploys set watch_until = null, error_message = $2 where id = $1 and watch_until is not null returning id`,
    [id, why],
  )
  const [before] = await tx.query<{ releaseId: number; number: number; commit: string; branch: string | null }>(
    `select r.id as "releaseId", r.number, b.commit, d.branch
     from instances i join releases r on r.id = i.release_id join builds b on b.id = r.build_id join deploys d on d.id = i.deploy_id
     where r.environment_id = $1 and i.state = 'draining' and i.process = 'web' and i.warm_until > now() limit 1`,
    [environmentId],
  )
  if (mine === undefined || before === undefined) return false
  await request(tx, {
    environmentId,
    kind: 'rollback',
    branch: before.branch,
    commit: before.commit,
    requestedBy: 'slipway',
    pushId: null,
    from: { releaseId: before.releaseId, variables: 'release' },
    reverts: id,
    notes: [`${environment} goes back from v${release} to v${before.number} by itself: ${why}`],
  })
  return true
}

/** Those whose time is not over, that still serve. By index: there are few. */
async function listWatched(q: Queryable): Promise<Watched[]> {
  return q.query(
    `select d.id, d.environment_id as "environmentId", e.name as environment, coalesce(d.instances_of, d.id) as "instancesOf",
       r.number as release, coalesce((b.config -> 'watch' ->> 'errors')::float8, 1) as errors
     from deploys d join environments e on e.id = d.environment_id
     join routes t on t.environment_id = e.id and t.release_id = d.release_id
     join releases r on r.id = d.release_id join builds b on b.id = r.build_id
     where d.watch_until is not null and d.watch_until > now() and d.state = 'live' and e.state = 'active'`,
  )
}

async function listEnded(q: Queryable, deployId: number): Promise<Ended[]> {
  return q.query(
    `select process, position, last_exit_code as "exitCode", last_out_of_memory as "outOfMemory"
     from instances where deploy_id = $1 and state = 'serving' and end_count > 0 order by process, position`,
    [deployId],
  )
}
