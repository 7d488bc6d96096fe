import { quote } from '../../kernel/names.ts'
import type { Routes } from '../../routing/index.ts'
import { type Instance, labelNames, type SeenContainer } from '../../runtime/index.ts'
import { type InstanceRecord, isWeb } from '../instances.ts'
import { compareRoutes } from './compare-routes.ts'
import { hasOldVariables } from './old-variables.ts'

/** A container that nobody knows is left alone this long: somebody may be about to record it. */
const strangerAgeMs = 10 * 60 * 1000

/** What the database wants. */
export interface Wanted {
  readonly instances: readonly InstanceRecord[]
  readonly routes: Routes
  readonly runningDeploys: ReadonlySet<number>
  /** Of the deploys that containers and starting instances name, those that have ended. */
  readonly endedDeploys: ReadonlySet<number>
  /** Releases that this server is waking. */
  readonly waking: ReadonlySet<number>
  /** Commands that people run now, of this server. */
  readonly runs: ReadonlySet<string>
}

/** What was found. What did not answer is not in here: then nothing is planned at all. */
export interface There {
  readonly containers: readonly SeenContainer[]
  /** Serving instances that the list does not show running, looked at one by one; null: the engine has no such container. */
  readonly looked: ReadonlyMap<number, Instance | null>
  /** Instances that are down, whose container runs and, for web, whose port takes connections. */
  readonly listening: ReadonlySet<number>
  readonly routes: Routes
  /** Sentences of the proxy's adapter: what is not as it last wrote it. */
  readonly damages: readonly string[]
  readonly nowMs: number
}

/** What mends a difference; `execute` in reconcile.ts has one effect for each. */
export type Act =
  | { readonly do: 'level-routes' }
  | { readonly do: 'take-out'; readonly instance: InstanceRecord; readonly found: Instance | null }
  | { readonly do: 'bring-back'; readonly instance: InstanceRecord }
  | { readonly do: 'start'; readonly instance: InstanceRecord }
  | { readonly do: 'let-end'; readonly instance: InstanceRecord }
  | { readonly do: 'put-to-sleep'; readonly instance: InstanceRecord }
  | { readonly do: 'end-instances'; readonly deployId: number }
  | { readonly do: 'remove-container'; readonly containerId: string; readonly run?: LeftRun }

/** A command that somebody ran, of which only the container is left. */
export interface LeftRun {
  readonly id: string
  readonly app: string
  readonly environment: string
}

/** One thing that is not as the database wants it. */
export interface Difference {
  readonly what: string
  readonly why: string
  /** What is done about it, or why nothing is. */
  readonly then: string
  readonly act: Act | null
}

/**
 * Compares, and says what would be done; safe to do again and again. A list that is empty removes nothing: what the database, the
 * engine or the proxy does not show may be there all the same.
 */
export function planReconcile(wanted: Wanted, there: There): Difference[] {
  return [
    ...planInstances(wanted, there),
    ...planOldVariables(wanted, there),
    ...planAwake(wanted, there),
    ...planRoutes(wanted, there),
    ...planLeftOver(wanted, there),
    ...planContainers(wanted, there),
  ]
}

/** For people: `v12 web.1 of test--shop`. */
export function nameOf({ label, releaseNumber, process, position }: InstanceRecord): string {
  return `v${releaseNumber} ${process}.${position} of ${label}`
}

function planInstances({ instances }: Wanted, there: There): Difference[] {
  const differences: Difference[] = []
  for (const instance of instances) {
    if (instance.state !== 'serving') continue
    const found = there.looked.get(instance.id)
    if (found === undefined || found?.state === 'running') {
      if (!there.listening.has(instance.id)) continue
      const isLedTo = isWeb(instance)
      differences.push({
        what: `${nameOf(instance)} is back and ${isLedTo ? 'takes no requests yet' : 'still known as down'}`,
        why: isLedTo ? 'It listens again.' : 'It runs again.',
        then: isLedTo ? 'Its address is led to again.' : 'That is recorded.',
        act: { do: 'bring-back', instance },
      })
      continue
    }
    const what = found === null ? 'has no container' : `is ${found.state === 'restarting' ? 'down' : found.state}`
    const why = howItEnded(found)
    if (instance.downSince === null) {
      const act: Act = { do: 'take-out', instance, found }
      differences.push({ what: `${nameOf(instance)} ${what}`, why, then: 'Nothing is led to it.', act })
    }
    differences.push({ what: `${nameOf(instance)} ${what}`, why, ...planStart(instance, found) })
  }
  return differences
}

/** What goes on with a value that was taken out since must not be brought back with it. */
function planOldVariables({ instances }: Wanted, there: There): Difference[] {
  return instances.flatMap((instance): Difference[] => {
    const found = there.looked.get(instance.id) ?? null
    if (found === null || !found.isKept || !hasOldVariables(instance, found)) return []
    return [
      {
        what: `${nameOf(instance)} goes on with a value that was revoked, and the engine would bring it back with it`,
        why: 'It was started before.',
        then: 'The engine does not bring it back; should it end, Slipway starts it with what its release has now.',
        act: { do: 'let-end', instance },
      },
    ]
  })
}

/** What runs for the addresses of releases alone is not started again when it ended: the next who asks for it wakes it. */
function planAwake({ instances, waking }: Wanted, there: There): Difference[] {
  return instances.flatMap((instance): Difference[] => {
    const act: Act = { do: 'put-to-sleep', instance }
    const then = 'It is ended and removed; who asks for it wakes it again.'
    if (instance.state === 'waking' && !waking.has(instance.releaseId)) {
      return [{ what: `${nameOf(instance)} is not awake yet`, why: 'Nobody is waking it any more.', then, act }]
    }
    // Whoever revoked it ends it, but may have been killed before.
    if (instance.state === 'awake' && instance.isRevoked) {
      return [{ what: `${nameOf(instance)} is awake`, why: 'It was started with a value that leaked.', then, act }]
    }
    const found = there.looked.get(instance.id)
    if (instance.state !== 'awake' || found === undefined || found?.state === 'running') return []
    return [{ what: `${nameOf(instance)} is awake and does not run`, why: howItEnded(found), then, act }]
  })
}

function planStart(instance: InstanceRecord, found: Instance | null): Pick<Difference, 'then' | 'act'> {
  if (found?.state === 'restarting') return { then: 'The engine starts it again, later each time.', act: null }
  if (instance.startDueMs > 0) {
    const seconds = Math.ceil(instance.startDueMs / 1000)
    return { then: `It is started again in ${seconds} s, for time ${instance.startAttempts + 1} in a row.`, act: null }
  }
  return { then: 'It is started again, from its image and with its address.', act: { do: 'start', instance } }
}

function howItEnded(found: Instance | null): string {
  if (found === null) return 'Somebody has removed it.'
  if (found.outOfMemory) return 'It needed more memory than it may have.'
  return found.exitCode === null ? 'It was never started.' : `It ended with exit code ${found.exitCode}.`
}

function planRoutes({ routes }: Wanted, there: There): Difference[] {
  const act: Act = { do: 'level-routes' }
  const damages = there.damages.map((what): Difference => {
    return { what, why: 'Somebody else changed or removed it.', then: 'It is written again.', act }
  })
  // A database that knows no route at all may be the wrong one: sites that it does not know are not taken down.
  const keepsAll = routes.keys.size === 0 && there.routes.keys.size > 0
  const different = compareRoutes(routes, there.routes).map((what): Difference => {
    const why = 'The proxy differs from the database.'
    if (!keepsAll) return { what, why, then: 'The proxy is told what the database has.', act }
    return { what, why, then: 'It is left alone: the database knows no route at all.', act: null }
  })
  return [...damages, ...different]
}

/** What deploys that have ended had started. */
function planLeftOver({ instances, endedDeploys }: Wanted, _there: There): Difference[] {
  const left = instances.filter((i) => i.state === 'starting' && endedDeploys.has(i.deployId))
  const deploys = Map.groupBy(left, (instance) => instance.deployId)
  return [...deploys].map(([deployId, [first]]) => ({
    what: `v${first?.releaseNumber} of ${first?.label} has instances that never served`,
    why: `Deploy ${deployId} has ended.`,
    then: 'They are ended and removed.',
    act: { do: 'end-instances', deployId },
  }))
}

function planContainers(wanted: Wanted, there: There): Difference[] {
  const deploys = new Set(wanted.instances.map((i) => String(i.deployId)))
  return there.containers
    .filter((container) => !isWanted(container, deploys, wanted))
    .map((container) => ({
      what: `The container ${quote(container.name)} is not needed`,
      ...judge(container, wanted, there),
    }))
}

function judge(container: SeenContainer, wanted: Wanted, there: There): Omit<Difference, 'what'> {
  const act: Act = { do: 'remove-container', containerId: container.containerId }
  const deploy = Number(container.labels[labelNames.deploy])
  if (wanted.endedDeploys.has(deploy)) return { why: `Deploy ${deploy} has ended.`, then: 'It is removed.', act }
  if (container.labels[labelNames.kind] === 'run') {
    const why = 'Nobody is connected to its command any more.'
    return { why, then: 'It is removed.', act: { ...act, run: leftRun(container) } }
  }
  const why = 'It carries this installation’s label, and the database does not know it.'
  if (container.labels[labelNames.kind] === 'instance' && wanted.instances.length === 0) {
    return { why, then: 'It is left alone: the database knows no instance at all.', act: null }
  }
  const leftMs = strangerAgeMs - (there.nowMs - container.createdAt.getTime())
  if (leftMs > 0) return { why, then: `It is removed in ${Math.ceil(leftMs / 60_000)} min.`, act: null }
  return { why, then: 'It is removed.', act }
}

function leftRun({ labels }: SeenContainer): LeftRun {
  const [id = '', app = '', environment = ''] = [labelNames.run, labelNames.app, labelNames.environment].map(
    (n) => labels[n],
  )
  return { id, app, environment }
}

function isWanted({ labels }: SeenContainer, deploys: ReadonlySet<string>, { runningDeploys, runs }: Wanted): boolean {
  // A build's containers belong to the builder, those of jobs to cron.
  if (labels[labelNames.kind] === 'build' || labels[labelNames.kind] === 'cron') return true
  if (labels[labelNames.kind] === 'run') return runs.has(labels[labelNames.run] ?? '')
  if (runningDeploys.has(Number(labels[labelNames.deploy]))) return true
  return labels[labelNames.kind] === 'instance' && deploys.has(labels[labelNames.deploy] ?? '')
}
