export { makeLogs } from './logs.ts'
