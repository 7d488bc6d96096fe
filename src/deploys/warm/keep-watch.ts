import { asSlipwayError } from '../../kernel/errors.ts'
import { appendEvent } from '../../kernel/events.ts'
import type { Transaction } from '../../postgres/database.ts'
import type { DeployRequest } from '../deploy.ts'
import { type InstanceRecord, isWeb, listInstancesOfDeploy, listInstancesOfEnvironment } from '../instances.ts'
import { lockLine } from '../line-store.ts'
import type { Tools } from '../steps/index.ts'
import { type CountedAnswers, countAnswers } from './count-answers.ts'
import { judgeEngine, type Earlier, nothingEarlier } from './engine-down.ts'
import { inspectAll } from './warm.ts'
import { findWarmRelease } from './warm-store.ts'
import { type Ended, judgeWatch } from './watch.ts'
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
  const known: Known = new Map()
  while (!signal.aborted) {
    try {
      const watched = await store.listWatched(tools.db)
      for (const one of watched) {
        // One whose engine is away keeps nobody from looking at the others.
        await lookAt(needs, one, known).catch((error: unknown) => {
          tools.logger.warn('what went live could not be looked at', { deployId: one.id, error })
        })
      }
      for (const [instancesOf, { answers }] of known) {
        if (watched.some((one) => one.instancesOf === instancesOf)) continue
        answers?.end()
        known.delete(instancesOf)
      }
    } catch (error) {
      if (!signal.aborted) tools.logger.warn('what went live could not be watched', { error })
    }
    await tools.clock.sleep(lookEveryMs, signal).catch(() => undefined)
  }
  for (const { answers } of known.values()) answers?.end()
}

/** What is known of those that serve, by the deploy that started them, since the first look. */
type Known = Map<number, Seen>

interface Seen {
  /** Since then, or since the engine was last down with all that ran. */
  answers: CountedAnswers | null
  /** By the id of an instance: its ends that were not its own doing. */
  readonly excused: Map<number, number>
  /** The ids of instances that had ended before the first look, which may be recorded nowhere; null: nobody could tell yet. */
  missed: ReadonlySet<number> | null
  engine: Earlier
}

async function lookAt(needs: WatchNeeds, watched: store.Watched, known: Known): Promise<void> {
  const { tools } = needs
  const serving = (await listInstancesOfDeploy(tools.db, watched.instancesOf)).filter(
    ({ state }) => state === 'serving',
  )
  const seen = known.get(watched.instancesOf) ?? begin(tools, watched, serving)
  known.set(watched.instancesOf, seen)
  seen.missed ??= await findBroughtBack(tools, serving)
  const ended = serving.filter(
    ({ id, endCount }) => endCount > (seen.excused.get(id) ?? 0) || seen.missed?.has(id) === true,
  )
  const why = judgeWatch(watched, { ended: ended.map(toEnded), answers: (await seen.answers?.read()) ?? null })
  if (why === null) return
  const wasDown = await wasEngineDown(tools, watched, { serving, ended, seen })
  if (wasDown === null) return
  if (wasDown) {
    for (const { id, endCount } of serving) seen.excused.set(id, endCount)
    seen.missed = new Set()
    seen.answers?.end()
    seen.answers = countFrom(tools, watched, serving)
    tools.logger.info('what is watched was down together with what is warm', { deployId: watched.id })
    return
  }
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

function begin(tools: Tools, watched: store.Watched, serving: readonly InstanceRecord[]): Seen {
  const answers = countFrom(tools, watched, serving)
  return { answers, excused: new Map(), missed: null, engine: nothingEarlier }
}

/** The ids of those that the engine has brought back. What is watched was made for it: what is warm and serves again is not. */
async function findBroughtBack({ runtime }: Tools, serving: readonly InstanceRecord[]): Promise<Set<number>> {
  const found = await inspectAll(runtime, serving)
  return new Set(serving.filter((_, n) => (found[n]?.restarts ?? 0) > 0).map(({ id }) => id))
}

function countFrom(
  { router, failedAnswers }: Tools,
  { instancesOf }: store.Watched,
  serving: readonly InstanceRecord[],
): CountedAnswers | null {
  return failedAnswers === undefined
    ? null
    : countAnswers({ router, failedAnswers }, instancesOf, serving.filter(isWeb))
}

/** Asks the engine. Null while nobody can tell yet; throws while the engine is away. */
async function wasEngineDown(
  { db, runtime, clock }: Tools,
  { environmentId }: store.Watched,
  { serving, ended, seen }: { serving: readonly InstanceRecord[]; ended: readonly InstanceRecord[]; seen: Seen },
): Promise<boolean | null> {
  const warm = (await listInstancesOfEnvironment(db, environmentId)).filter(({ warmLeftMs }) => warmLeftMs > 0)
  const [warmNow, servingNow] = await Promise.all([inspectAll(runtime, warm), inspectAll(runtime, serving)])
  const look = {
    serving: serving.map((one, n) => ({ id: one.id, hasEnded: ended.includes(one), found: servingNow[n] ?? null })),
    warm: warmNow,
    nowMs: clock.monotonicMs(),
  }
  const { wasDown, seen: now } = judgeEngine(look, seen.engine)
  seen.engine = now
  return wasDown
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
