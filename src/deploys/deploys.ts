import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import { makeMutex } from '../kernel/mutex.ts'
import type { Transaction } from '../postgres/database.ts'
import type { Deploy, DeployRequest, LogLine, QueuedDeploy } from './deploy.ts'
import { type InstanceRecord, listInstancesOfEnvironment } from './instances.ts'
import { type DeployLogs, makeDeployLogs, type NewLine } from './log.ts'
import { makeQueue } from './queue.ts'
import { type Reconciled, reconcile } from './reconcile.ts'
import { machineLine } from './end-deploy.ts'
import type { Tools } from './steps/index.ts'
import * as store from './store.ts'
import { watchInstances } from './watch-instances.ts'

/** What the rest of Slipway can ask of deploys. */
export interface Deploys {
  /** Puts a deploy into its environment's line, in the caller's transaction; call `wake` after the commit. */
  request(tx: Transaction, request: DeployRequest): Promise<QueuedDeploy>
  /** Tells the queue to look; safe to call at any time. */
  wake(): void
  get(deployId: number): Promise<Deploy>
  /** Newest first. */
  list(environmentId: number, page: { limit: number; before?: number }): Promise<Deploy[]>
  /** Asks a deploy to end; resolves when that is recorded, not when it has ended. `conflict` when it is too late. */
  cancel(deployId: number, by: string): Promise<void>
  /** The log from after `after` (0: all), live, until the deploy has ended or the signal fires. */
  follow(deployId: number, options: { after: number; signal: AbortSignal }): AsyncIterable<LogLine>
  /** The environment's instances that are not retired: the new one, the serving ones, those that drain. */
  listInstances(environmentId: number): Promise<InstanceRecord[]>
  /** Makes engine and proxy agree with the database, goes on with what was half done, and begins to work. */
  start(): Promise<Reconciled>
  /** The same comparison again, while working. */
  reconcile(): Promise<Reconciled>
  /** Takes nothing new and lets go of running deploys without ending them. */
  stop(): Promise<void>
}

/** Looking at a container takes the engine 2 ms or so: this is a thousandth of a core with 30 of them. */
const reconcileEveryMs = 60_000

export function makeDeploys(tools: Tools): Deploys {
  const { db } = tools
  const logs = makeDeployLogs(db)
  const queue = makeQueue({ tools, logs })
  const watching = new AbortController()

  const notifyLater = new Set<number>()
  const wake = (): void => {
    for (const id of notifyLater) logs.notify(id)
    notifyLater.clear()
    queue.wake()
  }

  const inTurn = makeMutex()
  const reconcileNow = (): Promise<Reconciled> =>
    inTurn(async () => {
      const found = await reconcile(tools)
      if (found.started + found.removed > 0)
        tools.logger.info('the engine was brought to what the database says', { ...found })
      for (const releaseId of found.draining) queue.retire(releaseId)
      return found
    })

  return {
    async request(tx, request) {
      const queued = await enqueue(tx, logs, request)
      for (const id of queued.replaced) notifyLater.add(id)
      return queued
    },
    wake,
    get: (id) => store.getDeploy(db, id),
    list: (environmentId, page) => store.listDeploys(db, environmentId, page),
    async cancel(id, by) {
      const deploy = await store.getDeploy(db, id)
      const outcome = await db.transaction(async (tx) => {
        const result = await store.requestCancel(tx, id)
        if (result === 'ended') {
          await logs.append(tx, id, [
            { kind: 'error', text: `Cancelled by ${by} while it waited.` },
            machineLine(deploy, 'cancelled'),
          ])
        }
        return result
      })
      if (outcome === null) {
        throw new SlipwayError('conflict', `Deploy ${id} has ended already (${deploy.state}).`, {
          hint:
            deploy.state === 'live'
              ? 'To go back, deploy an earlier commit: slipway deploy --commit <sha>'
              : 'There is nothing to cancel.',
        })
      }
      if (outcome === 'asked') queue.interrupt(id, by)
      logs.notify(id)
      queue.wake()
    },
    follow: (id, options) => logs.follow(id, options),
    listInstances: (environmentId) => listInstancesOfEnvironment(db, environmentId),
    async start() {
      const found = await reconcileNow()
      await queue.start()
      const again = (): void => {
        reconcileNow().catch((error: unknown) => tools.logger.warn('reconciling failed; it is tried again', { error }))
      }
      watchInstances(tools, again, watching.signal)
      // For what could not be removed, and for strangers that have become old.
      const timer = setInterval(again, reconcileEveryMs)
      watching.signal.addEventListener('abort', () => clearInterval(timer), { once: true })
      return found
    },
    reconcile: reconcileNow,
    async stop() {
      watching.abort()
      await queue.stop()
    },
  }
}

/** Puts a deploy into its environment's line; a waiting push gives its place to a newer one and is told. */
async function enqueue(tx: Transaction, logs: DeployLogs, request: DeployRequest): Promise<QueuedDeploy> {
  await store.lockLine(tx, request.environmentId)
  const replaced = request.kind === 'push' ? await store.supersedeWaitingPush(tx, request.environmentId) : []
  const deployId = await store.insertDeploy(tx, request)
  await store.linkSuperseded(tx, replaced, deployId)
  for (const id of replaced) {
    const commit = request.commit.slice(0, 7)
    await logs.append(tx, id, [
      { kind: 'error', text: `A newer push took the place of this one: deploy ${deployId} (${commit}).` },
      { kind: 'error', text: `Follow it with: slipway deploys log ${deployId} -f` },
      machineLine(await store.getDeploy(tx, id), 'superseded'),
    ])
  }
  const deploy = await store.getDeploy(tx, deployId)
  const ahead = await store.findAhead(tx, request.environmentId, deployId)
  const lines: NewLine[] = [
    { kind: 'step', text: `Deploy ${deployId}: ${deploy.app} ${request.commit.slice(0, 7)} to ${deploy.environment}` },
  ]
  const running = ahead.find((other) => other.state === 'running')
  if (running !== undefined) {
    const place = `place ${ahead.length} in the line`
    lines.push({ kind: 'detail', text: `Waiting for deploy ${running.id} of ${deploy.environment} to end (${place})` })
  }
  await logs.append(tx, deployId, lines)
  await appendEvent(tx, { kind: 'deploy.queued', appId: deploy.appId, environmentId: deploy.environmentId, deployId })
  return { deployId, replaced, ahead: ahead.length }
}
