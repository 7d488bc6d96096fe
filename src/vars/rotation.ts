import { isAway } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Secret } from '../kernel/secret.ts'
import type { Database, Transaction } from '../postgres/database.ts'
import type { SealingKeys } from './keys.ts'
import { placeOfRelease } from './release-variables.ts'
import { placeOfRevoked } from './revoked.ts'
import * as store from './rotation-store.ts'
import { placeOf } from './vars.ts'

/** Seals everything anew, with another key, while Slipway works. */
export interface KeyRotation {
  /**
   * Makes a new key for values and begins to seal with it what there is. With `secretKey` that one takes the place of
   * SLIPWAY_SECRET_KEY. `isKept`: the next start finds it by itself; else whoever starts Slipway has to give it.
   */
  begin(by: string, secretKey?: Secret): Promise<{ isKept: boolean }>
  /** How many variables and snapshots of releases are still sealed with an older key. */
  countLeft(): Promise<number>
  /** Goes on with what a stopped server had begun; resolves when nothing is left, or when the signal fires. */
  run(signal: AbortSignal): Promise<void>
}

interface RotationParts {
  readonly db: Database
  readonly keys: SealingKeys
  /** Keeps a new secret key for the next start; null when it is given by the settings. */
  readonly keepSecretKey: ((key: Secret) => Promise<void>) | null
  readonly logger: Logger
  readonly closing: AbortSignal
}

/** Values have 64 KiB at most, snapshots half a megabyte. */
const batches = { variables: 100, releases: 10 }
/** Deploys come first. */
const pauseMs = 20

export function makeKeyRotation({ db, keys, keepSecretKey, logger, closing }: RotationParts): KeyRotation {
  let running: Promise<void> | null = null

  /** True when nothing is left. */
  const sealSome = async (): Promise<boolean> => {
    const done = await db.transaction(
      async (tx) => (await sealVariables(tx, keys)) + (await sealReleases(tx, keys)) + (await sealRevoked(tx, keys)),
    )
    if (done > 0 || (await store.countOlder(db, keys.current())) > 0) return false
    await keys.tidy()
    return true
  }
  const run = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      const isDone = await sealSome().catch((error: unknown) => {
        if (!isAway(error)) throw error
        return false
      })
      if (isDone) return
      // What somebody else holds at this moment is passed over, and comes again.
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }
  const start = (signal: AbortSignal): Promise<void> => {
    running ??= run(signal).finally(() => (running = null))
    return running
  }

  return {
    run: start,
    countLeft: () => store.countOlder(db, keys.current()),
    async begin(by, secretKey) {
      await keys.renew({ ...(secretKey === undefined ? {} : { secretKey }), inTransaction: (tx) => tell(tx, by) })
      if (secretKey !== undefined) await keepSecretKey?.(secretKey)
      start(closing).catch((error: unknown) => logger.error('variables are not all sealed anew yet', { error }))
      return { isKept: secretKey === undefined || keepSecretKey !== null }
    },
  }
}

const tell = (tx: Transaction, by: string): Promise<void> => appendEvent(tx, { kind: 'vars.key-changed', by })

async function sealVariables(tx: Transaction, keys: SealingKeys): Promise<number> {
  const older = await store.takeVariables(tx, keys.current(), batches.variables)
  for (const { environmentId, name, keyId, sealed } of older) {
    const place = placeOf(environmentId, name)
    await store.putVariable(tx, { environmentId, name, ...keys.seal(place, keys.unseal(place, sealed, keyId)) })
  }
  return older.length
}

async function sealReleases(tx: Transaction, keys: SealingKeys): Promise<number> {
  const older = await store.takeReleases(tx, keys.current(), batches.releases)
  for (const { releaseId, keyId, sealed } of older) {
    const place = placeOfRelease(releaseId)
    await store.putRelease(tx, { releaseId, ...keys.seal(place, keys.unseal(place, sealed, keyId)) })
  }
  return older.length
}

async function sealRevoked(tx: Transaction, keys: SealingKeys): Promise<number> {
  const older = await store.takeRevoked(tx, keys.current(), batches.variables)
  for (const { id, appId, name, keyId, sealed } of older) {
    const place = placeOfRevoked(appId, name)
    await store.putRevoked(tx, { id, ...keys.seal(place, keys.unseal(place, sealed, keyId)) })
  }
  return older.length
}
