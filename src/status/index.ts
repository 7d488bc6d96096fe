import { type Commits, countMissing, keepCounts } from './counts.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Queryable } from '../postgres/database.ts'
import { listUnapplied, type Summary, summarize, type UnappliedChange } from './status.ts'
import { type EnvironmentFacts, listFacts, listProcessChanges, listVariableChanges } from './store.ts'

export type { Condition, Message } from './status.ts'

/** What is to be said of every environment: how far it is behind its branch, what has changed, what happened last. */
export interface Statuses {
  /** All environments; what nobody has counted yet is null. */
  list(): Promise<EnvironmentStatus[]>
  /** Those of an app; what is missing is counted first. */
  ofApp(appId: number): Promise<EnvironmentStatus[]>
  /** Keeps the counts, in the background. */
  keep(options: { signal: AbortSignal; sleep: (ms: number, signal: AbortSignal) => Promise<void> }): Promise<void>
}

export interface EnvironmentStatus extends Summary {
  readonly facts: EnvironmentFacts & { readonly unapplied: readonly UnappliedChange[] }
}

export function makeStatuses(parts: { db: Queryable; commits: Commits; logger: Logger }): Statuses {
  const read = async (appId: number | null): Promise<EnvironmentStatus[]> => {
    const [all, variables, processes] = await Promise.all([
      listFacts(parts.db, appId),
      listVariableChanges(parts.db, appId),
      listProcessChanges(parts.db, appId),
    ])
    return all.map((one) => {
      const changed = {
        variables: variables.get(one.environmentId) ?? [],
        processes: processes.get(one.environmentId) ?? [],
      }
      const facts = { ...one, unapplied: listUnapplied(one, changed) }
      return { facts, ...summarize(facts) }
    })
  }
  return {
    list: () => read(null),
    async ofApp(appId) {
      await countMissing(parts, [appId])
      return read(appId)
    },
    keep: (options) => keepCounts(parts, options),
  }
}
