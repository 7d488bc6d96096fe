import type { HttpNeeds } from '../needs.ts'
import type { Route } from '../route.ts'
import type { Streams } from '../streams.ts'
import { activityRoutes } from './activity/routes.ts'
import { appRoutes } from './apps/routes.ts'
import { cronRoutes } from './cron/routes.ts'
import { deployLogRoutes } from './deploy-log/routes.ts'
import { deployPlanRoutes } from './deploy-plans/routes.ts'
import { deployRoutes } from './deploys/routes.ts'
import { doctorRoutes } from './doctor/routes.ts'
import { environmentRoutes } from './environments/routes.ts'
import { keyRotationRoutes } from './key-rotation/routes.ts'
import { lockRoutes } from './locks/routes.ts'
import { logRoutes } from './logs/routes.ts'
import { promotionRoutes } from './promotions/routes.ts'
import { releaseRoutes } from './releases/routes.ts'
import { rollbackRoutes } from './rollbacks/routes.ts'
import { maintenanceRoutes } from './maintenance/routes.ts'
import { protectionRoutes } from './protection/routes.ts'
import { processRoutes } from './processes/routes.ts'
import { runRoutes } from './runs/routes.ts'
import { serverRoutes } from './server/routes.ts'
import { statusRoutes } from './status/routes.ts'
import { revocationRoutes } from './vars/revocation.ts'
import { varsRoutes } from './vars/routes.ts'

/** Every route of /api/v1. */
export function allRoutes(needs: HttpNeeds & { streams: Streams }): Route[] {
  return [
    ...serverRoutes(needs),
    ...appRoutes(needs),
    ...environmentRoutes(needs),
    ...varsRoutes(needs),
    ...revocationRoutes(needs),
    ...cronRoutes(needs),
    ...protectionRoutes(needs),
    ...lockRoutes(needs),
    ...maintenanceRoutes(needs),
    ...keyRotationRoutes(needs),
    ...deployRoutes(needs),
    ...deployPlanRoutes(needs),
    ...deployLogRoutes(needs),
    ...releaseRoutes(needs),
    ...rollbackRoutes(needs),
    ...promotionRoutes(needs),
    ...processRoutes(needs),
    ...statusRoutes(needs),
    ...logRoutes(needs),
    ...runRoutes(needs),
    ...activityRoutes(needs),
    ...doctorRoutes(needs),
  ]
}
