import { createHash, randomBytes } from 'node:crypto'
import { Secret } from '../kernel/secret.ts'
import type { Database } from '../postgres/database.ts'
import type { Principal } from './policy.ts'
import { findTokenOwner, replaceAdminToken } from './store.ts'

export interface Accounts {
  /** Who this token belongs to; null when nobody. Looked up by hash, so that timing says nothing about the token. */
  readonly authenticate: (token: Secret) => Promise<Principal | null>
  /** Makes this token the admin's only one. Called from the machine's console at start, never from outside. */
  setAdminToken(token: Secret): Promise<void>
}

export function makeAccounts({ db }: { db: Database }): Accounts {
  return {
    authenticate: (token) => findTokenOwner(db, hashOf(token)),
    setAdminToken: (token) => db.transaction((tx) => replaceAdminToken(tx, hashOf(token))),
  }
}

/** 32 random bytes: too many to guess, so a plain SHA-256 is enough to store. The prefix lets secret scanners find it. */
export function newToken(): Secret {
  return new Secret(`slw_${randomBytes(32).toString('base64url')}`)
}

function hashOf(token: Secret): Buffer {
  return createHash('sha256').update(token.reveal()).digest()
}
