export { type Accounts, makeAccounts, newToken } from './tokens.ts'
export { type Action, assertMay, may, type Principal } from './policy.ts'
