import { asSlipwayError } from '../../kernel/errors.ts'
import { appendEvent } from '../../kernel/events.ts'
import type { Transaction } from '../../postgres/database.ts'
import type { DeployRequest } from '../deploy.ts'
import { type InstanceRecord, isWeb, listInstancesOfDeploy } from '../instances.ts'
import { lockLine } from '../line-store.ts'
import type { Tools } from '../steps/index.ts'
import { type CountedAnswers, countAnswers } from './count-answers.ts'
import { findWarmRelease } from './warm-store.ts'
import { type Answers, type Ended, judgeWatch } from './watch.ts'
import * as store from './watch-store.ts'

const lookEveryMs = 1_000

interface WatchNeeds {
  readonly tools: Tools
  /** Puts the way back into the line and wakes the queue. */
  readonly request: (tx: Transaction, request: DeployRequest) => Promise<unknown>
  readonly wake: () => void
}

/** Looks after all deploys that are watched, also those of an earlier life of the server. Ends with the signal. */
export async function keepWatch(needs: WatchNeeds, signal: AbortSignal): Promise<void> {
  const { tools } = needs
  const counting: Counting = new Map()
  while (!signal.aborted) {
    try {
      const watched = await store.listWatched(tools.db)
      for (const one of watched) await lookAt(needs, one, counting)
      for (const [id, counted] of counting) {
        if (watched.some((one) => one.id === id)) continue
        counted.end()
        counting.delete(id)
      }
    } catch (error) {
      if (!signal.aborted) tools.logger.warn('what went live could not be watched', { error })
    }
    await tools.clock.sleep(lookEveryMs, signal).catch(() => undefined)
  }
  for (const counted of counting.values()) counted.end()
}

type Counting = Map<number, CountedAnswers>

/** That one cannot be gone back from keeps nobody from looking at the others. */
async function lookAt(needs: WatchNeeds, watched: store.Watched, counting: Counting): Promise<void> {
  const { tools } = needs
  const serving = (await listInstancesOfDeploy(tools.db, watched.instancesOf)).filter(
    ({ state }) => state === 'serving',
  )
  const answers = await readAnswers(tools, watched, { serving, counting })
  const why = judgeWatch(watched, { ended: serving.filter(({ endCount }) => endCount > 0).map(toEnded), answers })
  if (why === null) return
  try {
    const isAsked = await tools.db.transaction((tx) => goBack(needs, tx, { watched, why }))
    const what = isAsked ? 'a deploy is gone back from' : 'a deploy that does harm is not gone back from'
    tools.logger.warn(what, { deployId: watched.id, why })
    needs.wake()
  } catch (error) {
    // The next look tries it again. Others are looked after all the same.
    tools.logger.error('a deploy could not be gone back from', {
      deployId: watched.id,
      why,
      error: asSlipwayError(error),
    })
  }
}

async function readAnswers(
  { router, failedAnswers }: Tools,
  { id, instancesOf }: store.Watched,
  { serving, counting }: { serving: readonly InstanceRecord[]; counting: Counting },
): Promise<Answers | null> {
  if (failedAnswers !== undefined && !counting.has(id))
    counting.set(id, countAnswers({ router, failedAnswers }, instancesOf, serving.filter(isWeb)))
  return (await counting.get(id)?.read()) ?? null
}

const toEnded = ({ process, position, lastExitCode, lastOutOfMemory }: InstanceRecord): Ended => {
  return { process, position, exitCode: lastExitCode, outOfMemory: lastOutOfMemory }
}

/** False when there is nothing warm to go back to, which is told, or somebody else was quicker. */
async function goBack(
  { request }: WatchNeeds,
  tx: Transaction,
  { watched, why }: { watched: store.Watched; why: string },
): Promise<boolean> {
  const { id, appId, environmentId, environment, release } = watched
  await lockLine(tx, environmentId)
  if (!(await store.endWatch(tx, id, why))) return false
  const before = await findWarmRelease(tx, environmentId)
  if (before === null) {
    const subject = { appId, environmentId, deployId: id, by: 'slipway' }
    await appendEvent(tx, { kind: 'deploy.not-reverted', ...subject, data: { message: why } })
    return false
  }
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
