import type { Transaction } from '../postgres/database.ts'
import type { Deploy, DeployRequest, LogLine, QueuedDeploy } from './deploy.ts'

export type { Deploy, DeployRequest, DeployState, DeployStep, LogKind, LogLine, QueuedDeploy } from './deploy.ts'
export { hasEnded, renderLine } from './deploy.ts'

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
}
