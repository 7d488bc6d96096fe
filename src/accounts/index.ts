export { type Accounts, makeAccounts, newToken } from './tokens.ts'
export { type Action, assertMay, type Principal } from './policy.ts'
