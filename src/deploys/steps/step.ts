import type { Builds } from '../../builds/index.ts'
import type { Clock } from '../../kernel/clock.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Exclusively } from '../../kernel/mutex.ts'
import type { Secret } from '../../kernel/secret.ts'
import type { Database, ServerPlace, Transaction } from '../../postgres/database.ts'
import type { Addresses, Router } from '../../routing/index.ts'
import type { AddressRange, MemoryRoom, Probes, Runtime } from '../../runtime/index.ts'
import type { Masks, ReleaseVariables } from '../../vars/index.ts'
import type { Deploy } from '../deploy.ts'
import type { Own } from '../line-store.ts'
import type { DeployLog } from '../log.ts'
import type { FailedAnswers } from '../warm/count-answers.ts'

/** What steps work with. */
export interface Tools {
  readonly db: Database
  /** Lost, nothing is changed in the proxy and nothing done for a deploy any more. */
  readonly place: ServerPlace
  readonly builds: Builds
  readonly runtime: Runtime
  /** Asked before a new instance starts; without it none is refused. */
  readonly memory?: MemoryRoom
  /** How checks ask a new instance; over the network when left out. */
  readonly probes?: Probes
  /** Without it releases have no variables but the system's. */
  readonly variables?: ReleaseVariables
  /** What must not be read in logs; without it nothing is replaced. */
  readonly masks?: Pick<Masks, 'ofEnvironment' | 'ofRelease'>
  /** In the transaction in which a deploy goes live: what else begins then. */
  readonly onLive?: (tx: Transaction, live: { environmentId: number; deployId: number }) => Promise<void>
  /** Commands that people run: their containers are somebody's as long as it says so. Without it all are nobody's. */
  readonly runs?: {
    has(id: string): boolean
    /** Called before what is left of one is removed; null: it was still going. Safe to repeat. */
    recordLeft(run: { id: string; app: string; environment: string }, exitCode: number | null): Promise<void>
  }
  /** Releases that are being started for their own address; without it none is. */
  readonly wakes?: { isWaking(releaseId: number): boolean }
  /** After so long without a request a release that runs for its own address is stopped; 15 min when left out. */
  readonly releaseIdleMs?: number
  readonly router: Router
  /** Without it deploys are watched for crashes alone. */
  readonly failedAnswers?: FailedAnswers
  readonly addresses: Addresses
  /** Where instances get their addresses. */
  readonly range: AddressRange
  /**
   * Whoever changes routes and the rows that they are made from does both in here, so that a comparison of the two never
   * sees one without the other.
   */
  readonly whileRoutesHold: Exclusively
  readonly installation: string
  readonly installationKey: Secret
  readonly clock: Clock
  readonly logger: Logger
}

export interface StepContext {
  /** As it is recorded at the beginning of the step. */
  readonly deploy: Deploy
  readonly own: Own
  /** Awaited right before every effect outside the database: throws when another worker has taken the deploy over. */
  readonly assertHeld: () => Promise<void>
  readonly log: DeployLog
  /** Fires with one of the reasons below. */
  readonly signal: AbortSignal
  readonly tools: Tools
}

/**
 * One effect, safe to repeat: after a crash the step is called again and finds what it had done. What it throws ends the
 * deploy; nothing it did so far has touched what serves.
 */
export type Step = (context: StepContext) => Promise<void>

/*
 * The reasons of a deploy's signal.
 */

/** The server stops: the next life of the server goes on with the deploy. */
export const stopping = new Error('the server stops')

/** Another worker has the deploy: it is let go of and not touched any more. */
export const lost = new Error('another worker has the deploy')

/** Somebody, or a newer push, wants it to end: the deploy's row says who. */
export const ending = new SlipwayError('cancelled', 'The deploy is to end.')
