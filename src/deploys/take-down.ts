import type { Transaction } from '../postgres/database.ts'
import { forgetRules } from './exposures-store.ts'
import { environmentKey } from '../routing/index.ts'
import { labelNames } from '../runtime/index.ts'
import { machineLine } from './end-deploy.ts'
import { drainServing, listInstancesOfEnvironment } from './instances.ts'
import { listLine, lockLine, requestCancel } from './line-store.ts'
import type { DeployLogs } from './log.ts'
import { removeRoute } from './serving-store.ts'
import type { Tools } from './steps/index.ts'
import { getDeploy } from './store.ts'

/*
 * The end of an environment: nothing new begins, what runs ends, nothing leads to it any more.
 */

/** An environment that goes. */
export interface Doomed {
  readonly id: number
  readonly app: string
  readonly name: string
  readonly label: string
}

export interface ClosedLine {
  /** The deploy that still runs; null when none does. */
  readonly running: number | null
  /** Deploys whose readers are to be notified after the commit. */
  readonly told: readonly number[]
}

/**
 * Ends what waits in the line of an environment that goes, and with `cancel` asks what runs to end. Whoever calls it has made
 * sure, in the same transaction, that nothing new comes into the line.
 */
export async function closeLine(
  tx: Transaction,
  logs: DeployLogs,
  { environmentId, by, cancel }: { environmentId: number; by: string; cancel: boolean },
): Promise<ClosedLine> {
  await lockLine(tx, environmentId)
  const line = await listLine(tx, environmentId)
  const told: number[] = []
  for (const { id } of line.filter(({ state }) => state === 'waiting')) {
    if ((await requestCancel(tx, id, by)) !== 'ended') continue
    await logs.append(tx, id, [
      { kind: 'error', text: `Cancelled while it waited: ${by} removes the environment.` },
      machineLine(await getDeploy(tx, id), 'cancelled'),
    ])
    told.push(id)
  }
  const running = line.find(({ state }) => state === 'running')?.id ?? null
  if (running !== null && cancel) await requestCancel(tx, running, by)
  return { running, told }
}

const lookEveryMs = 250

/**
 * Ends all that an environment runs whose line is closed, and whatever leads to it. Resolves when nothing of it is left in the
 * engine and in the proxy; safe to repeat and to break off.
 * @param retire drains and removes in the background what is said to drain
 */
export async function takeDown(
  tools: Tools,
  { environment, retire, signal }: { environment: Doomed; retire: (id: number) => void; signal: AbortSignal },
): Promise<void> {
  const { db, clock, runtime } = tools
  while ((await listLine(db, environment.id)).length > 0) await clock.sleep(lookEveryMs, signal)
  for (const id of await leadAway(tools, environment)) retire(id)
  while ((await listInstancesOfEnvironment(db, environment.id)).length > 0) await clock.sleep(lookEveryMs, signal)
  for (const { labels, containerId } of await runtime.survey()) {
    const isIts = labels[labelNames.app] === environment.app && labels[labelNames.environment] === environment.name
    if (isIts && labels[labelNames.kind] !== 'build') await runtime.remove(containerId)
  }
}

/** The proxy first: should Slipway die in between, the comparison leads there again, and this is done again. */
async function leadAway(tools: Tools, { id, label }: Doomed): Promise<number[]> {
  const { router, addresses, db, whileRoutesHold } = tools
  return whileRoutesHold(async () => {
    await router.removeHost(addresses.environmentHost(label))
    await router.removeHost(addresses.otherReleasesHost(label))
    await router.removeKey(environmentKey(id))
    await router.setRules(id, null)
    return db.transaction(async (tx) => {
      await removeRoute(tx, id)
      await forgetRules(tx, id)
      return drainServing(tx, id)
    })
  })
}
