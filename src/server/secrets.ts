import { randomBytes } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { newToken } from '../accounts/index.ts'
import type { Settings } from '../config.ts'
import { Secret } from '../kernel/secret.ts'
import { writeWholeFile } from '../kernel/whole-file.ts'

/** What only this machine's console knows. Nothing here has a default: each is given, or made by chance on the first start. */
export interface InstallationSecrets {
  readonly adminToken: Secret
  /** True on the start that made it: then it is shown, once. */
  readonly madeAdminToken: boolean
  /** What opens the keys that variables are sealed with. */
  readonly installationKey: Secret
  /** Puts another one in its place, for the next start; null when the settings give it. */
  readonly keepInstallationKey: ((key: Secret) => Promise<void>) | null
  /** Removes one that this start has made: the database was sealed with another. */
  readonly takeBackNewKey: () => Promise<void>
  /** Tells this data folder from another one that was given the same SLIPWAY_INSTALLATION. No secret. */
  readonly owner: string
}

export async function ensureSecrets(settings: Settings): Promise<InstallationSecrets> {
  const tokenFile = join(settings.dataDir, 'admin-token')
  const keyFile = join(settings.dataDir, 'secret-key')
  const token =
    settings.adminToken === null ? await ensureFile(tokenFile, newToken) : { secret: settings.adminToken, made: false }
  const ownerFile = join(settings.dataDir, 'owner')
  const newOwner = (): Secret => new Secret(randomBytes(12).toString('hex'))
  const newKey = (): Secret => new Secret(randomBytes(48).toString('base64url'))
  const key =
    settings.secretKey === null ? await ensureFile(keyFile, newKey) : { secret: settings.secretKey, made: false }
  return {
    adminToken: token.secret,
    madeAdminToken: token.made,
    installationKey: key.secret,
    keepInstallationKey:
      settings.secretKey === null ? (next) => writeWholeFile(keyFile, `${next.reveal()}\n`, 0o600) : null,
    takeBackNewKey: async () => (key.made ? rm(keyFile) : undefined),
    owner: (await ensureFile(ownerFile, newOwner)).secret.reveal(),
  }
}

/** Readable by its owner only; made when it is not there. */
async function ensureFile(path: string, make: () => Secret): Promise<{ secret: Secret; made: boolean }> {
  try {
    return { secret: new Secret((await readFile(path, 'utf8')).trim()), made: false }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
  const secret = make()
  await writeWholeFile(path, `${secret.reveal()}\n`, 0o600)
  return { secret, made: true }
}
