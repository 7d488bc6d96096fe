export { createRelease, getRelease, type Release } from './store.ts'
