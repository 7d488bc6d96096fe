import { SlipwayError } from '../kernel/errors.ts'
import { shortestMasked } from '../kernel/variables.ts'
import type { Transaction } from '../postgres/database.ts'
import type { SealingKeys } from './keys.ts'
import { findRevoked } from './revocation-store.ts'
import { markOf } from './seal.ts'

/** Part of its seal. */
export const placeOfRevoked = (appId: number, name: string): string => `revoked value of ${name} of app ${appId}`

/**
 * Throws `conflict` for a value that was revoked: a file that is imported once more, or a release that somebody copies, does
 * not bring it back. Too short ones are in everybody's variables, and no secrets. Whoever calls it holds the environment's row.
 */
export async function assertNotRevoked(
  tx: Transaction,
  { markKey }: Pick<SealingKeys, 'markKey'>,
  environmentId: number,
  variables: readonly { readonly name: string; readonly value: string }[],
): Promise<void> {
  const long = variables.filter(({ value }) => value.length >= shortestMasked)
  if (long.length === 0) return
  const marks = long.map(({ name, value }) => markOf(markKey, { name, value, build: false }))
  const [found] = await findRevoked(tx, environmentId, marks)
  if (found === undefined) return
  throw new SlipwayError(
    'conflict',
    `This value of ${found.name} was revoked by ${found.by} at ${found.at.toISOString()}. Nothing was changed.`,
    { hint: 'It is known to somebody who should not know it: give another one.' },
  )
}
