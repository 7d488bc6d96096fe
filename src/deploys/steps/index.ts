import type { DeployStep } from '../deploy.ts'
import { build } from './build.ts'
import { check } from './check.ts'
import { releaseCommands } from './release-commands.ts'
import { start } from './start.ts'
import type { Step } from './step.ts'
import { swap } from './swap.ts'

/** Each step and what does it, in order. A step without its function does not compile. */
export const steps: Readonly<Record<DeployStep, Step>> = {
  build,
  'release-commands': releaseCommands,
  start,
  check,
  swap,
}

export { ending, lost, type Step, type StepContext, stopping, type Tools } from './step.ts'
