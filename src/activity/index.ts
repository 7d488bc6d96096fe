export { type Activity, type Entry, type FollowedEntry, makeActivity } from './activity.ts'
export type { ActivityFilter } from './store.ts'
