import type { Database } from '../postgres/database.ts'
import type { SealingKeys } from './keys.ts'
import type { SecretsSource } from './mask/masks.ts'
import { openKept } from './release-variables.ts'
import { listRevokedSecrets } from './revocation-store.ts'
import { placeOfRevoked } from './revoked.ts'
import * as store from './store.ts'
import { secretKeyOf } from './system-variables.ts'
import { openValue } from './vars.ts'

/** Reads what must be masked. */
export function makeSecretsSource({ db, keys }: { db: Database; keys: SealingKeys }): SecretsSource {
  const ofEnvironment = async (environmentId: number): Promise<string[]> => {
    const secrets = await store.listSecrets(db, environmentId)
    const values = secrets.map((sealed) => openValue(keys, environmentId, sealed))
    // What started before still knows them.
    const revoked = (await listRevokedSecrets(db, environmentId)).map(({ appId, name, sealed, keyId }) =>
      keys.unseal(placeOfRevoked(appId, name), sealed, keyId).toString('utf8'),
    )
    return [secretKeyOf(keys.derivation, environmentId).reveal(), ...values, ...revoked]
  }
  const ofRelease: SecretsSource['ofRelease'] = async (releaseId) => {
    const found = await store.findWithRelease(db, releaseId)
    if (found === null) return null
    const { environmentId, sealed, keyId } = found
    const kept = sealed === null ? [] : openKept(keys, releaseId, { sealed, keyId })
    return { environmentId, secrets: kept.filter(([, , secret]) => secret).map(([, value]) => value) }
  }
  return {
    ofEnvironment,
    ofRelease,
    async inUse(environmentId) {
      const releases = await store.listReleasesInUse(db, environmentId)
      const theirs = await Promise.all(releases.map(ofRelease))
      const own = await ofEnvironment(environmentId)
      return [...own, ...theirs.flatMap((found) => [...(found?.secrets ?? [])])]
    },
  }
}
