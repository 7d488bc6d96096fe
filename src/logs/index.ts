export { makeLogs } from './logs.ts'
export type { RequestFeed, RequestLine } from './requests.ts'
