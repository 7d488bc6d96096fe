import { holdImage } from '../builds/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import type { Transaction } from '../postgres/database.ts'
import { getRelease } from '../releases/index.ts'
import type { GoingOn } from '../vars/index.ts'
import { type Deploy, type DeployRequest, type LogLine, nameOrigin, type QueuedDeploy } from './deploy.ts'
import { applyExposure } from './apply-exposure.ts'
import { type InstanceRecord, listInstancesOfEnvironment } from './instances.ts'
import { type Begun, endBegun } from './end-begun.ts'
import { makeFencedRouter } from './fenced-router.ts'
import { makeLevelKeeper } from './level/keep-level.ts'
import { letOldEnd, listGoingOn } from './level/old-variables.ts'
import { findAhead, isHeldBy, planArrival } from './line.ts'
import { lockedError } from './locked-error.ts'
import * as line from './line-store.ts'
import { type DeployLogs, makeDeployLogs } from './log.ts'
import type { Difference } from './level/plan-reconcile.ts'
import { makeQueue } from './queue.ts'
import { findDifferences, type Reconciled } from './level/reconcile.ts'
import { startWorkers } from './level/start-again.ts'
import { machineLine } from './end-deploy.ts'
import { type OneOff, readOneOff } from './one-off.ts'
import type { Tools } from './steps/index.ts'
import type { WantedMemory } from '../runtime/index.ts'
import { readReleaseSpec, type ReleaseSpec } from './release-spec.ts'
import { wantedMemory } from './wanted-memory.ts'
import * as store from './store.ts'
import { planStart, stopServing } from './stop-serving.ts'
import { closeLine, type Doomed, takeDown } from './take-down.ts'
import { tellLine } from './tell-line.ts'
import type { ReleaseAnswer } from './wake/answer.ts'
import { endAwake } from './wake/end-awake.ts'
import { makeWakes } from './wake/wakes.ts'
import { keepWatch } from './warm/keep-watch.ts'
import { supersededBy } from './why-it-ends.ts'
import { shortCommit } from '../kernel/short-commit.ts'

/** What the rest of Slipway can ask of deploys. */
export interface Deploys {
  /** Puts a deploy into its environment's line, in the caller's transaction; call `wake` after the commit. */
  request(tx: Transaction, request: DeployRequest): Promise<QueuedDeploy>
  /** Tells what waits in an environment's line what it waits for now, in the caller's transaction; call `wake` after the commit. */
  tellPlaces(tx: Transaction, environmentId: number): Promise<void>
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
  /** A container beside the instances, of the release that serves; `conflict` when none does. */
  oneOff(environmentId: number, runId: string): Promise<OneOff>
  /**
   * Stops an environment: its address says so, open requests may finish, and its instances go. Safe to repeat. `conflict`
   * when nothing was deployed there, or a deploy has not ended that would start it again.
   */
  stopServing(environmentId: number, by: string): Promise<void>
  /** Starts what a stopped environment served, as a deploy. `conflict` when it is not stopped. */
  startServing(environmentId: number, by: string): Promise<QueuedDeploy>
  /**
   * In the transaction in which an environment begins to be removed: ends what waits in its line, and with `cancel` asks what
   * runs to end; call `wake` after the commit. Returns the deploy that still runs.
   */
  closeLine(tx: Transaction, closing: { environmentId: number; by: string; cancel: boolean }): Promise<number | null>
  /** Ends all that an environment runs whose line is closed, and whatever leads to it. Safe to repeat. */
  takeDown(environment: Doomed, signal: AbortSignal): Promise<void>
  /**
   * In the transaction that takes something out of these releases: asks the deploys to end that have begun to start what they
   * had. Call `afterTaken` after the commit.
   */
  endBegun(tx: Transaction, begun: { releaseIds: readonly number[]; by: string }): Promise<Begun[]>
  /**
   * Ends those deploys, and what of these releases was started for their own addresses; nothing that goes on is brought back. Resolves to
   * the runs and jobs that go on; null when the engine cannot be asked.
   */
  afterTaken(releaseIds: readonly number[]): Promise<GoingOn[] | null>
  /** What containers of a deploy’s release are made from. */
  readSpec(deployId: number): Promise<ReleaseSpec>
  /** What one more container of an environment will need of the host’s memory. */
  wantedMemory(environmentId: number, limitBytes: number): WantedMemory
  /** Makes engine and proxy agree with the database, goes on with what was half done, and begins to work. */
  start(): Promise<Reconciled>
  /** The same comparison again, while working. */
  reconcile(): Promise<Reconciled>
  /** Makes the proxy hold who may ask for an environment's sites, as the database has it. */
  applyExposure(environmentId: number): Promise<void>
  /**
   * What is said at the address of a release that does not run: any host, in lower case and without port. One that sleeps is started.
   */
  askForRelease(host: string): Promise<ReleaseAnswer>
  /** What it would do now. */
  findDifferences(): Promise<Difference[]>
  /** Takes nothing new and lets go of running deploys without ending them. */
  stop(): Promise<void>
}

const usualIdleMs = 15 * 60_000

export function makeDeploys(given: Tools): Deploys {
  const tools: Tools = {
    ...given,
    router: makeFencedRouter(given.router, given.place),
    wakes: { isWaking: (releaseId) => wakes.isWaking(releaseId) },
  }
  const { db } = tools
  const logs = makeDeployLogs(db, tools)
  const queue = makeQueue({ tools, logs, startWorkers: (deployId) => startWorkers(tools, deployId) })
  const retire = (deployId: number): void => queue.retire(deployId)
  const wakes = makeWakes({ tools, retire, idleMs: given.releaseIdleMs ?? usualIdleMs })
  const watching = new AbortController()

  const notifyLater = new Set<number>()
  const wake = (): void => {
    for (const id of notifyLater) logs.notify(id)
    notifyLater.clear()
    queue.wake()
  }

  const request = makeRequest(logs, notifyLater)
  const level = makeLevelKeeper(tools, retire)

  return {
    request,
    async tellPlaces(tx, environmentId) {
      for (const id of await tellLine(tx, logs, environmentId)) notifyLater.add(id)
    },
    wake,
    get: (id) => store.getDeploy(db, id),
    list: (environmentId, page) => store.listDeploys(db, environmentId, page),
    async cancel(id, by) {
      for (const each of await cancelDeploy(db, logs, { id, by })) logs.notify(each)
      queue.wake()
    },
    follow: (id, options) => logs.follow(id, options),
    async stopServing(environmentId, by) {
      for (const id of await stopServing(tools, environmentId, by)) retire(id)
    },
    async startServing(environmentId, by) {
      const queued = await db.transaction(async (tx) => enqueue(tx, logs, await planStart(tx, environmentId, by)))
      wake()
      return queued
    },
    oneOff: (environmentId, runId) => readOneOff(tools, environmentId, runId),
    async closeLine(tx, closing) {
      const { running, told } = await closeLine(tx, logs, closing)
      for (const id of told) notifyLater.add(id)
      return running
    },
    takeDown: (environment, signal) => takeDown(tools, { environment, retire, signal }),
    endBegun,
    async afterTaken(releaseIds) {
      wake()
      await endAwake(tools, releaseIds, retire)
      const [, goingOn] = await Promise.all([letOldEnd(tools, releaseIds), listGoingOn(tools, releaseIds)])
      return goingOn
    },
    listInstances: (environmentId) => listInstancesOfEnvironment(db, environmentId),
    readSpec: async (deployId) => readReleaseSpec(await store.getDeploy(db, deployId), tools),
    wantedMemory: (environmentId, limitBytes) => wantedMemory(db, environmentId, limitBytes),
    async start() {
      const found = await level.reconcile()
      await queue.start()
      wakes.start()
      level.watch(watching.signal)
      void keepWatch({ tools, request, wake }, watching.signal)
      return found
    },
    reconcile: () => level.reconcile(),
    async applyExposure(environmentId) {
      for (const id of await applyExposure(tools, environmentId)) retire(id)
    },
    askForRelease: (host) => wakes.ask(host),
    findDifferences: () => findDifferences(tools),
    async stop() {
      watching.abort()
      await Promise.all([wakes.stop(), queue.stop()])
    },
  }
}

/** Returns the deploys whose logs have new lines. */
async function cancelDeploy(
  db: Tools['db'],
  logs: DeployLogs,
  { id, by }: { id: number; by: string },
): Promise<readonly number[]> {
  const deploy = await store.getDeploy(db, id)
  const { appId, environmentId } = deploy
  return db.transaction(async (tx) => {
    await line.lockLine(tx, environmentId)
    const outcome = await line.requestCancel(tx, id, by)
    if (outcome === null || outcome === 'late') throw tooLateError(await store.getDeploy(tx, id))
    const kind = outcome === 'asked' ? 'deploy.cancel-asked' : 'deploy.cancelled'
    await appendEvent(tx, { kind, appId, environmentId, deployId: id, by })
    if (outcome === 'asked') return [id]
    await logs.append(tx, id, [
      { kind: 'error', text: `Cancelled by ${by} while it waited.` },
      machineLine(deploy, 'cancelled'),
    ])
    return [id, ...(await tellLine(tx, logs, environmentId))]
  })
}

function tooLateError({ id, state, app, environment }: Deploy): SlipwayError {
  if (state === 'running' || state === 'live') {
    const now = state === 'live' ? 'is live already' : 'is being swapped in at this moment'
    return new SlipwayError('conflict', `Deploy ${id} ${now}.`, {
      hint: `To go back to what served before: slipway rollback ${environment} -a ${app}`,
    })
  }
  return new SlipwayError('conflict', `Deploy ${id} has ended already (${state}).`, {
    hint: 'There is nothing to cancel.',
  })
}

/** Puts a deploy into its environment's line; a push that it takes the place of is told. */
async function enqueue(
  tx: Transaction,
  logs: DeployLogs,
  request: DeployRequest,
): Promise<QueuedDeploy & { told: readonly number[] }> {
  const { environmentId, kind, strict, holds } = request
  const { supersede, state, lock } = await line.lockLine(tx, environmentId)
  if (state === 'removing') throw new SlipwayError('conflict', 'The environment is being removed.')
  // A strict push is accepted or rejected while its pusher waits, so it does not wait for somebody's unlock.
  if (lock !== null && isHeldBy(lock, request) && (!lock.waits || strict === true)) {
    throw await lockedError(tx, { environmentId, lock, kind })
  }
  const arrival = planArrival({ kind, strict, holds }, await line.listLine(tx, environmentId), supersede)
  const replaced = await line.supersedeWaiting(tx, arrival.replaced)
  const interrupted = await line.interruptRunning(tx, arrival.interrupted)
  const buildId = request.from === undefined ? null : (await getRelease(tx, request.from.releaseId)).buildId
  // From here on it stays: retention sees the deploy.
  if (buildId !== null) await holdImage(tx, buildId)
  const deployId = await line.insertDeploy(tx, { ...request, buildId })
  await line.linkSuperseded(tx, [...replaced, ...interrupted], deployId)
  const deploy = await store.getDeploy(tx, deployId)
  const subject = { appId: deploy.appId, environmentId, by: request.requestedBy }
  for (const id of replaced) {
    const { message, hint } = supersededBy(deploy)
    await logs.append(tx, id, [
      { kind: 'error', text: message },
      { kind: 'error', text: hint },
      machineLine(await store.getDeploy(tx, id), 'superseded'),
    ])
    await appendEvent(tx, { kind: 'deploy.superseded', ...subject, deployId: id })
  }
  await logs.begin(tx, deployId, [
    { kind: 'step', text: headingOf(deploy) },
    ...(request.notes ?? []).map((text) => ({ kind: 'detail' as const, text })),
    ...(state === 'stopped' ? [{ kind: 'detail' as const, text: startsAgain(deploy) }] : []),
  ])
  const told = await tellLine(tx, logs, environmentId)
  const { from: origin } = deploy
  const from =
    origin === null ? {} : { from: { release: origin.number, environment: origin.environment }, holds: deploy.holds }
  const data = {
    kind,
    commit: request.commit,
    branch: request.branch,
    replaced: [...replaced, ...interrupted],
    ...from,
  }
  await appendEvent(tx, { kind: 'deploy.queued', ...subject, deployId, data })
  const ahead = findAhead(await line.listLine(tx, environmentId), deployId).length
  return { deployId, replaced: [...replaced, ...interrupted], ahead, told }
}

/** @param later whom to notify when the caller's transaction is committed */
function makeRequest(logs: DeployLogs, later: Set<number>): Deploys['request'] {
  return async (tx, wanted) => {
    const queued = await enqueue(tx, logs, wanted)
    for (const id of [...queued.replaced, ...queued.told]) later.add(id)
    return queued
  }
}

function headingOf({ id, app, commit, environment, kind, from }: Deploy): string {
  const what = `Deploy ${id}: ${app} ${shortCommit(commit)} to ${environment}`
  if (from === null) return what
  return kind === 'rollback'
    ? `${what}, back to v${from.number}`
    : `${what}, the image of ${nameOrigin(from, environment)}`
}

function startsAgain({ environment }: Deploy): string {
  return `${environment} is stopped: it serves again when this deploy is live`
}
