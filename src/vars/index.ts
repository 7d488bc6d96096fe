export type { Masker } from './mask/masker.ts'
export { makeMasks, type Masks } from './mask/masks.ts'
export { type Freshness, makeFreshness } from './freshness.ts'
export { makeSecretsSource } from './secrets-source.ts'
export { openKeys, type SealingKeys } from './keys.ts'
export {
  type BuildVariables,
  type GivenVariables,
  makeReleaseVariables,
  type ReleaseVariables,
  type Snapshot,
} from './release-variables.ts'
export { type Surroundings, systemVariables } from './system-variables.ts'
export { type KeyRotation, makeKeyRotation } from './rotation.ts'
export { makeRevocation, type Revocation, type GoingOn, type Revoked, type RevokedIn } from './revocation.ts'
export { variablesRevision } from './store.ts'
export type { NewVariable, Variable, VariablesChange } from './variable.ts'
export { type Changed, makeVars, type Vars } from './vars.ts'
export { listOtherBuildVariables } from './build-variables.ts'
