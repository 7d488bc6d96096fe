import type { Deploys } from '../deploys/index.ts'
import type { Environments } from '../environments/index.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Database } from '../postgres/database.ts'
import type { Repositories } from './repositories.ts'

/** What receiving a push takes. */
export interface GitDependencies {
  readonly db: Database
  readonly environments: Environments
  readonly deploys: Deploys
  readonly repositories: Repositories
  readonly logger: Logger
  /** Fires when Slipway stops. */
  readonly stopped: AbortSignal
}
