export type { Router, Routes, RouteTarget, Target } from './router.ts'
export { type Addresses, makeAddresses } from './addresses.ts'
export {
  environmentKey,
  parseHost,
  parseRouteKey,
  parseSetId,
  parseTarget,
  releaseKey,
  releaseSet,
} from './names.ts'
