import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import type { Secret } from '../kernel/secret.ts'

/*
 * AES-256-GCM. What is sealed stands as nonce (12 bytes), tag (16), ciphertext. `place` says where it belongs (which variable of
 * which environment): it is part of the seal, so that nothing opens in another place than its own.
 */

const nonceBytes = 12
const tagBytes = 16

export function seal(key: Buffer, place: string, plain: Buffer): Buffer {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(place))
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed])
}

/** Null for what was not sealed with this key for this place, or was changed since. */
export function unseal(key: Buffer, place: string, sealed: Buffer): Buffer | null {
  if (sealed.length < nonceBytes + tagBytes) return null
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, nonceBytes), { authTagLength: tagBytes })
    .setAAD(Buffer.from(place))
    .setAuthTag(sealed.subarray(nonceBytes, nonceBytes + tagBytes))
  try {
    return Buffer.concat([decipher.update(sealed.subarray(nonceBytes + tagBytes)), decipher.final()])
  } catch {
    return null
  }
}

/** The key that a SLIPWAY_SECRET_KEY wraps others with, and the name that it goes by in the database. */
export function wrapperOf(secretKey: Secret): { readonly key: Buffer; readonly name: string } {
  return {
    key: deriveKey(secretKey.reveal(), 'slipway key wrap'),
    name: deriveKey(secretKey.reveal(), 'slipway key name').toString('hex', 0, 12),
  }
}

/** Whether builds get it is part of it: that makes another image. */
export function markOf(key: Buffer, variable: { name: string; value: string; build: boolean }): Buffer {
  const hash = createHmac('sha256', key).update(`${variable.name}\u0000${variable.build ? 'build' : 'run'}\u0000`)
  return hash.update(variable.value).digest().subarray(0, 16)
}

export function deriveKey(from: string, what: string): Buffer {
  return Buffer.from(hkdfSync('sha256', from, '', what, 32))
}
