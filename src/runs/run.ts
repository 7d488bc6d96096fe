import type { OneOff } from '../deploys/index.ts'
import type { TerminalSize } from '../kernel/attachment.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Database } from '../postgres/database.ts'
import type { AttachedRuntime, Runtime } from '../runtime/index.ts'
import type { RunLimits } from './room.ts'

export interface RunRequest {
  readonly environment: { readonly id: number; readonly appId: number; readonly app: string; readonly name: string }
  readonly command: readonly string[]
  /** Null: three plain pipes. */
  readonly terminal: { readonly size: TerminalSize; readonly term: string | null } | null
}

/** A run that was begun and has not ended altogether. */
export interface Run extends RunRequest {
  readonly id: string
  isConnected: boolean
  /** Ends it, for the reason that its client is told. */
  readonly over: AbortController
}

export interface RunNeeds {
  readonly db: Database
  readonly runtime: Pick<Runtime, 'stop' | 'remove'> & AttachedRuntime
  readonly readOneOff: (environmentId: number, runId: string) => Promise<OneOff>
  readonly limits: RunLimits
  readonly logger: Logger
}
