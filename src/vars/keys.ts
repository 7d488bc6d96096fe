import { randomBytes } from 'node:crypto'
import { SlipwayError } from '../kernel/errors.ts'
import { Secret } from '../kernel/secret.ts'
import type { Database, Transaction } from '../postgres/database.ts'
import * as store from './keys-store.ts'
import { deriveKey, seal, unseal, wrapperOf } from './seal.ts'

/**
 * The keys of an installation, open. Values are sealed with keys by chance; those stand in the database, wrapped by
 * SLIPWAY_SECRET_KEY. So a copy of the database alone opens nothing, and either kind of key can be changed while Slipway runs.
 */
export interface SealingKeys {
  /** What environments' SECRET_KEY is derived from: stays when keys are changed. */
  readonly derivation: Secret
  readonly markKey: Buffer
  /** What is sealed from now on is sealed with this one. */
  current(): number
  seal(place: string, plain: Buffer): { readonly keyId: number; readonly sealed: Buffer }
  /** Throws `internal` for what was not sealed for this place. */
  unseal(place: string, sealed: Buffer, keyId: number): Buffer
  /**
   * Makes a new key for values. With `secretKey` all keys are wrapped by that one, too: the next start may come with either,
   * and ends the other if it is older.
   */
  renew(options: { secretKey?: Secret; inTransaction: (tx: Transaction) => Promise<void> }): Promise<void>
  /** Removes keys that nothing is sealed with any more. */
  tidy(): Promise<void>
}

/**
 * Opens the keys with this SLIPWAY_SECRET_KEY, or makes them when there are none. Throws `bad_request`, and nothing is
 * changed, when the database's are wrapped by another one.
 */
export async function openKeys(db: Database, secretKey: Secret): Promise<SealingKeys> {
  const wrapper = wrapperOf(secretKey)
  /** The second one is to take the first one's place. */
  let wrappers = [wrapper]
  const read = await db.transaction(async (tx) => {
    await store.lockKeys(tx)
    if ((await store.listKeys(tx)).length === 0) {
      await addKey(tx, wrappers, { purpose: 'derived', plain: Buffer.from(secretKey.reveal()) })
      await addKey(tx, wrappers, { purpose: 'values', plain: randomBytes(32) })
    }
    const keys = unwrapAll(await store.listKeys(tx), wrapper)
    await store.removeOlderWraps(tx, wrapper.name)
    return keys
  })
  const { values, derivation } = read
  const newest = (): number => Math.max(...values.keys())

  return {
    derivation,
    markKey: deriveKey(derivation.reveal(), 'slipway variable marks'),
    current: newest,
    seal: (place, plain) => ({ keyId: newest(), sealed: seal(values.get(newest()) as Buffer, place, plain) }),
    unseal(place, sealed, keyId) {
      const key = values.get(keyId)
      const plain = key === undefined ? null : unseal(key, place, sealed)
      if (plain === null) {
        throw new SlipwayError('internal', `What is kept for ${place} was not sealed there, or was changed.`)
      }
      return plain
    },
    async renew({ secretKey: next, inTransaction }) {
      const held = next === undefined ? wrappers : [wrapper, wrapperOf(next)]
      const plain = randomBytes(32)
      const id = await db.transaction(async (tx) => {
        await store.lockKeys(tx)
        for (const known of (await store.listKeys(tx)).filter((key) => key.wrapper === wrapper.name)) {
          await wrapKey(tx, held.slice(1), { id: known.id, plain: unwrap(known, wrapper.key) as Buffer })
        }
        // One that was to take its place, and never came.
        await store.removeOtherWraps(
          tx,
          held.map(({ name }) => name),
        )
        await inTransaction(tx)
        return addKey(tx, held, { purpose: 'values', plain })
      })
      values.set(id, plain)
      wrappers = held
    },
    async tidy() {
      await db.transaction(async (tx) => {
        await store.lockKeys(tx)
        await store.removeUnusedKeys(tx, newest())
      })
    },
  }
}

type Wrapper = ReturnType<typeof wrapperOf>

async function addKey(
  tx: Transaction,
  wrappers: readonly Wrapper[],
  { purpose, plain }: { purpose: store.WrappedKey['purpose']; plain: Buffer },
): Promise<number> {
  const id = await store.insertKey(tx, purpose)
  await wrapKey(tx, wrappers, { id, plain })
  return id
}

async function wrapKey(
  tx: Transaction,
  wrappers: readonly Wrapper[],
  { id, plain }: { id: number; plain: Buffer },
): Promise<void> {
  for (const { name, key } of wrappers) {
    await store.insertWrap(tx, { id, wrapper: name, wrapped: seal(key, placeOfKey(id), plain) })
  }
}

function unwrap(found: store.WrappedKey, key: Buffer): Buffer | null {
  return unseal(key, placeOfKey(found.id), found.wrapped)
}

const placeOfKey = (id: number): string => `key ${id}`

function unwrapAll(
  found: readonly store.WrappedKey[],
  wrapper: Wrapper,
): { values: Map<number, Buffer>; derivation: Secret } {
  const values = new Map<number, Buffer>()
  let derivation: Secret | null = null
  for (const id of new Set(found.map((key) => key.id))) {
    const own = found.find((key) => key.id === id && key.wrapper === wrapper.name)
    const plain = own === undefined ? null : unwrap(own, wrapper.key)
    if (own === undefined || plain === null) throw wrongKeyError()
    if (own.purpose === 'derived') derivation = new Secret(plain.toString('utf8'))
    else values.set(id, plain)
  }
  if (derivation === null || values.size === 0) throw wrongKeyError()
  return { values, derivation }
}

function wrongKeyError(): SlipwayError {
  return new SlipwayError(
    'bad_request',
    'The secret key is not the one that this database’s variables are sealed with. Nothing was changed; sites serve on.',
    {
      hint: 'Start with the right one: in SLIPWAY_SECRET_KEY, or in the file secret-key of the data folder when that is not set. It is in your backups beside the database; without it the variables cannot be read.',
    },
  )
}
