export type { RunLimits } from './room.ts'
export { makeRuns, type Runs } from './runs.ts'
