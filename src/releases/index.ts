export { chooseImagesToRemove, type KeptImage, type KeptRelease } from './retention.ts'
export { listAppsWithImages, listKeptImages, listKeptReleases } from './retention-store.ts'
export { createRelease, getRelease, type Release } from './store.ts'
