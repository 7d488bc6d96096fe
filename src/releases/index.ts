export { compareCommits, type CommitsDifference, type Cut } from './compare-commits.ts'
export {
  compareConfigurations,
  compareProcesses,
  compareVariables,
  type ConfigurationDifference,
  cutDifferences,
  type Marks,
  type VariablesDifference,
} from './compare.ts'
export {
  makeReleases,
  type ReleaseComparison,
  type ReleaseDetails,
  type ReleasePlace,
  type Releases,
} from './releases.ts'
export type { ReleaseSummary } from './reads-store.ts'
export { chooseImagesToRemove, type KeptImage, type KeptRelease } from './retention.ts'
export { listAppsWithImages, listKeptImages, listKeptReleases } from './retention-store.ts'
export { createRelease, findMaker, getRelease, type Release } from './store.ts'
