import type { Deploys } from '../deploys/index.ts'
import type { Clock } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Slots } from '../kernel/slots.ts'
import type { Database, ServerPlace } from '../postgres/database.ts'
import type { MemoryRoom, Runtime } from '../runtime/index.ts'
import type { Masks } from '../vars/index.ts'

export interface CronNeeds {
  readonly db: Database
  /** Lost, nothing is begun any more. */
  readonly place: ServerPlace
  readonly deploys: Pick<Deploys, 'readSpec' | 'wantedMemory'>
  readonly runtime: Pick<Runtime, 'run' | 'remove' | 'list' | 'survey'>
  /** Asked before a container starts; without it none is refused. */
  readonly memory?: MemoryRoom
  /** So many containers at once. */
  readonly slots: Slots
  /** What must not be read in what a run printed last; without it nothing is replaced. */
  readonly masks?: Pick<Masks, 'ofRelease'>
  /** Writes a line of Slipway’s own into the log of a release. */
  readonly note: (at: { app: string; environment: string; release: number }, text: string) => void
  readonly clock: Clock
  readonly logger: Logger
}
