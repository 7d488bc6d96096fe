export type { Limits, Maintenance, Router, Routes, RouteTarget, Rules, Target, TargetUse } from './router.ts'
export { type Addresses, makeAddresses } from './addresses.ts'
export {
  environmentKey,
  parseHost,
  parseRouteKey,
  parseSetId,
  parseTarget,
  releaseKey,
  releaseSet,
  wakeKey,
} from './names.ts'
export {
  formatHostEntry,
  type HostEntry,
  parseEnvironmentId,
  parseHostEntry,
  parseLimits,
  parseMessage,
  parsePasswordHash,
  parseRangePrefix,
  passwordHash,
  routeKeyOf,
  usualMessage,
} from './host-entry.ts'
export { parseRange, rangePrefixes } from './ranges.ts'
