import { SlipwayError } from '../kernel/errors.ts'
import type { Queryable, Transaction } from '../postgres/database.ts'
import type { AddressRange } from './runtime.ts'
import { addAddresses, claimLowestFreeAddress, restAddress } from './store.ts'

/**
 * Takes an address for an instance: the lowest free one, that nobody had for ten minutes. Asked again for the same instance it
 * returns the same. Throws `unavailable` when none is free.
 */
export async function takeAddress(tx: Transaction, instanceId: number, range: AddressRange): Promise<string> {
  const address = await claimLowestFreeAddress(tx, instanceId, range.subnet)
  if (address !== null) return address
  // The first of this subnet, or all taken: the table tells when it knows them all.
  await addAddresses(tx, range.subnet, range.reserved)
  const second = await claimLowestFreeAddress(tx, instanceId, range.subnet)
  if (second !== null) return second
  throw new SlipwayError('unavailable', `No address is free in ${range.subnet} for another instance.`, {
    hint: 'Freed addresses rest for ten minutes; wait, remove environments, or set a larger SLIPWAY_NETWORK.',
  })
}

/** Gives an instance's address back; it rests before anybody else gets it. Safe to repeat. */
export async function freeAddress(db: Queryable, instanceId: number): Promise<void> {
  await restAddress(db, instanceId)
}
