import { EventEmitter, once } from 'node:events'
import {
  type Deploy,
  type DeployState,
  hasEnded,
  type LogKind,
  type LogLine,
  type Mended,
} from '../../src/deploys/index.ts'
import type { HttpNeeds } from '../../src/http/needs.ts'
import { SlipwayError } from '../../src/kernel/errors.ts'

/** What a deploy tells of its environment. */
export type EnvironmentOfDeploy = Pick<Deploy, 'environmentId' | 'appId' | 'app' | 'environment' | 'label' | 'live'>

/** Which release has an address is the database’s to say, not a script’s. */
type NeededDeploys = HttpNeeds['deploys'] & Omit<HttpNeeds['reads'], 'hasReleaseAddress'>

export interface ScriptedDeploys extends NeededDeploys {
  /** Environments that were stopped. */
  readonly stopped: number[]
  /** What differs; mended when somebody asks for it. */
  readonly differences: Mended[]
  /** How often `wake` was called. */
  readonly woken: () => number
  /** Adds a line to a deploy's log. */
  write(deployId: number, kind: LogKind, text: string): void
  /** Moves a deploy; its followers see it. */
  move(deployId: number, change: Partial<Deploy>): void
  end(deployId: number, state: DeployState, change?: Partial<Deploy>): void
}

/** Deploys that happen only when the test says so. Numbers and logs are kept in memory. */
export function makeScriptedDeploys(options: {
  environmentOf: (environmentId: number) => EnvironmentOfDeploy | Promise<EnvironmentOfDeploy>
}): ScriptedDeploys {
  const deploys: Deploy[] = []
  const differences: Mended[] = []
  const stopped: number[] = []
  const logs = new Map<number, LogLine[]>()
  const news = new EventEmitter()
  news.setMaxListeners(0)
  let woken = 0

  const get = (id: number): Deploy => {
    const deploy = deploys.find((one) => one.id === id)
    if (deploy === undefined) throw new SlipwayError('not_found', `There is no deploy ${id}.`)
    return deploy
  }
  const move = (id: number, change: Partial<Deploy>): void => {
    deploys[deploys.indexOf(get(id))] = { ...get(id), ...change }
    news.emit(String(id))
  }
  const end = (id: number, state: DeployState, change: Partial<Deploy> = {}): void =>
    move(id, { state, finishedAt: new Date(), ...change })
  const linesAfter = (id: number, after: number): LogLine[] => (logs.get(id) ?? []).filter((line) => line.seq > after)

  const scripted: ScriptedDeploys = {
    stopped,
    stopServing: async (environmentId) => void stopped.push(environmentId),
    startServing(environmentId, by) {
      const request = { environmentId, kind: 'start', branch: 'main', commit: 'c'.repeat(40), requestedBy: by } as const
      return scripted.request(null as never, { ...request, pushId: null })
    },
    differences,
    findDifferences: async () => [...differences],
    async reconcile() {
      const mended = differences.splice(0)
      return { routes: 0, started: 0, removed: 0, draining: [], mended, nextLookMs: null }
    },
    async request(_tx, request) {
      const its = await options.environmentOf(request.environmentId)
      const waiting = deploys.filter((one) => one.environmentId === its.environmentId && !hasEnded(one.state))
      const replaced = waiting.filter(
        (one) => request.kind === 'push' && one.kind === 'push' && one.state === 'waiting',
      )
      const id = deploys.length + 1
      for (const old of replaced) end(old.id, 'superseded', { supersededBy: id })
      deploys.push({
        ...its,
        id,
        kind: request.kind,
        branch: request.branch,
        commit: request.commit,
        requestedBy: request.requestedBy,
        state: 'waiting',
        step: null,
        buildId: null,
        releaseId: null,
        releaseNumber: null,
        supersededBy: null,
        from: null,
        holds: request.holds ?? false,
        instancesOf: id,
        reverts: null,
        strict: null,
        cancelRequestedBy: null,
        waitingFor: null,
        cancelRequested: false,
        commandsRan: false,
        forceRebuild: request.forceRebuild ?? false,
        serves: false,
        error: null,
        createdAt: new Date(),
        startedAt: null,
        finishedAt: null,
      })
      return { deployId: id, replaced: replaced.map((one) => one.id), ahead: waiting.length - replaced.length }
    },
    wake: () => void (woken += 1),
    woken: () => woken,
    get: async (id) => get(id),
    list: async (environmentId, { limit, before }) =>
      deploys
        .filter((one) => one.environmentId === environmentId && (before === undefined || one.id < before))
        .toReversed()
        .slice(0, limit),
    async cancel(id) {
      const { state } = get(id)
      if (hasEnded(state)) throw new SlipwayError('conflict', `Deploy ${id} has ended already (${state}).`)
      if (state === 'waiting') end(id, 'cancelled')
      else move(id, { cancelRequested: true })
    },
    async *follow(id, { after, signal }) {
      let seen = after
      while (!signal.aborted) {
        const more = once(news, String(id), { signal }).catch(() => undefined)
        const ended = hasEnded(get(id).state)
        for (const line of linesAfter(id, seen)) {
          seen = line.seq
          yield line
        }
        if (ended) return
        await more
      }
    },
    readLog: async (id, { after, limit }) => linesAfter(id, after).slice(0, limit),
    newestLine: async (id) => logs.get(id)?.length ?? 0,
    async countByState() {
      const count = (state: DeployState): number => deploys.filter((one) => one.state === state).length
      return {
        waiting: count('waiting'),
        running: count('running'),
        live: count('live'),
        reverted: count('reverted'),
        failed: count('failed'),
        cancelled: count('cancelled'),
        superseded: count('superseded'),
      }
    },
    write(id, kind, text) {
      const lines = logs.get(id) ?? []
      lines.push({ seq: lines.length + 1, at: new Date(), kind, text })
      logs.set(id, lines)
      news.emit(String(id))
    },
    move,
    end,
  }
  return scripted
}
