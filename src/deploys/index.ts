export type {
  Deploy,
  DeployKind,
  DeployRequest,
  DeployState,
  DeployStep,
  LogKind,
  LogLine,
  Origin,
  QueuedDeploy,
} from './deploy.ts'
export { buildHeading, hasEnded, isBuildHeading, renderLine } from './deploy.ts'
export { assertImage } from './image-gone.ts'
export { findImageOrigin, type ImageOrigin } from './image-origin-store.ts'
export { type ProcessCount, wantedProcesses } from './wanted-processes.ts'
export { countAhead } from './line.ts'
export { type Deploys, makeDeploys } from './deploys.ts'
export { type DeployReads, makeDeployReads } from './reads.ts'
export { makeProcesses, type Processes } from './processes.ts'
export { type Held, type Locks, makeLocks } from './locks.ts'
export type { InstanceRecord } from './instances.ts'
export type { Doomed } from './take-down.ts'
export type { Mended } from './level/reconcile.ts'
export type { ReleaseAnswer, WakeRefusal } from './wake/answer.ts'
export type { OneOff } from './one-off.ts'
export type { Tools } from './steps/index.ts'
