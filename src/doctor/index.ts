import { asSlipwayError } from '../kernel/errors.ts'
import { withTimeout } from '../kernel/timeout.ts'
import type { Finding } from './finding.ts'

export { type Finding, isBad, isOk } from './finding.ts'
export { countInstances, readDatabaseFacts } from './database.ts'
export { judgeMachine, readMachine } from './machine.ts'
export { judgeNight, type NightFacts } from './night.ts'
export {
  type EngineFacts,
  judgeDatabase,
  judgeEngine,
  judgeFirewall,
  judgeGit,
  judgeMissing,
  judgePort,
  judgeProxy,
} from './services.ts'

/** Looks at one thing and judges it. What it throws is a finding, too: that could not be looked at. */
export interface Check {
  readonly name: string
  readonly why: string
  readonly run: () => Promise<Finding | readonly Finding[]>
}

const checkMs = 15_000

/** All at once; the answers in the order of the checks. */
export async function examine(checks: readonly Check[]): Promise<Finding[]> {
  const found = await Promise.all(checks.map(runCheck))
  return found.flat()
}

async function runCheck({ name: check, why, run }: Check): Promise<readonly Finding[]> {
  try {
    const found = await withTimeout({ ms: checkMs, what: `The check of ${check}` }, run)
    return 'check' in found ? [found] : found
  } catch (thrown) {
    const { message, hint } = asSlipwayError(thrown)
    return [{ check, status: 'fail', what: message, why, mend: hint ?? 'See the server’s log.' }]
  }
}
