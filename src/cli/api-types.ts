import type { z } from 'zod'
import type { entrySchema } from '../http/routes/activity/routes.ts'
import type { appSchema } from '../http/routes/apps/presenter.ts'
import type { cronJobSchema, cronRunSchema } from '../http/routes/cron/presenter.ts'
import type { deployPlanSchema } from '../http/routes/deploy-plans/routes.ts'
import type { deploySchema } from '../http/routes/deploys/presenter.ts'
import type { examinationSchema, repairSchema } from '../http/routes/doctor/routes.ts'
import type { changedSchema, environmentSchema } from '../http/routes/environments/presenter.ts'
import type { heldSchema, unlockedSchema } from '../http/routes/locks/routes.ts'
import type { promotionPlanSchema } from '../http/routes/promotions/routes.ts'
import type { rollbackPlanSchema } from '../http/routes/rollbacks/routes.ts'
import type { protectionSchema } from '../http/routes/protection/routes.ts'
import type { processesSchema, scaledSchema } from '../http/routes/processes/routes.ts'
import type { comparisonSchema, releaseDetails, releaseSchema } from '../http/routes/releases/presenter.ts'
import type { overviewSchema, statusSchema } from '../http/routes/status/presenter.ts'
import type { revokedSchema } from '../http/routes/vars/revocation.ts'
import type { variableSchema } from '../http/routes/vars/presenter.ts'

/** What the API answers, from the schemas it answers by. Types only: nothing of the server is loaded here. */
export type App = z.output<typeof appSchema>
export type Environment = z.output<typeof environmentSchema>
/** As a change has left it. */
export type ChangedEnvironment = z.output<typeof changedSchema>
export type Variable = z.output<typeof variableSchema>
export type Revoked = z.output<typeof revokedSchema>
export type CronJob = z.output<typeof cronJobSchema>
export type CronRun = z.output<typeof cronRunSchema>
export type Deploy = z.output<typeof deploySchema>
export type Release = z.output<typeof releaseSchema>
export type ReleaseDetails = z.output<typeof releaseDetails>
export type ReleaseComparison = z.output<typeof comparisonSchema>
export type DeployPlan = z.output<typeof deployPlanSchema>
export type Held = z.output<typeof heldSchema>
export type Unlocked = z.output<typeof unlockedSchema>
export type Overview = z.output<typeof overviewSchema>
export type PromotionPlan = z.output<typeof promotionPlanSchema>
export type RollbackPlan = z.output<typeof rollbackPlanSchema>
export type Protection = z.output<typeof protectionSchema>
export type Processes = z.output<typeof processesSchema>
export type ScaledProcesses = z.output<typeof scaledSchema>
export type Status = z.output<typeof statusSchema>
export type ActivityEntry = z.output<typeof entrySchema>
export type Examination = z.output<typeof examinationSchema>
export type Repair = z.output<typeof repairSchema>
export type AppWithEnvironments = App & { environments: Environment[] }
export type QueuedDeploy = Deploy & { ahead: number; replaced: number[] }

export type CancelledDeploy = Deploy & { logAfter: number }

export interface LogEventData {
  readonly seq: number
  readonly at: string
  readonly kind: string
  readonly text: string
  /** As people see it. */
  readonly line: string
}

export interface RuntimeLogEventData {
  readonly at: string
  readonly source: 'app' | 'router' | 'deploy'
  readonly release: string | null
  readonly instance: string
  readonly text: string
}
