import { hkdfSync } from 'node:crypto'
import { Secret } from '../kernel/secret.ts'

/** What the variables that Slipway itself sets are made from. */
export interface Surroundings {
  readonly app: string
  readonly environment: string
  readonly environmentId: number
  readonly live: boolean
  readonly releaseNumber: number
  readonly branch: string | null
  readonly commit: string
  readonly port: number
  readonly domain: string
  readonly domainAliases: readonly string[]
}

/**
 * The variables that every container of a release gets (design.md, section 3). They are made anew at each start and never stored:
 * `SECRET_KEY` belongs to the environment and is derived from the installation's key and the environment's id.
 */
export function systemVariables(around: Surroundings, installationKey: Secret): Record<string, string | Secret> {
  return {
    STAGE: around.environment,
    DEBUG: around.live ? 'False' : 'True',
    PORT: String(around.port),
    GIT_BRANCH: around.branch ?? '',
    GIT_COMMIT: around.commit,
    SLIPWAY_APP: around.app,
    SLIPWAY_ENVIRONMENT: around.environment,
    SLIPWAY_RELEASE: `v${around.releaseNumber}`,
    DOMAIN: around.domain,
    DOMAIN_ALIASES: around.domainAliases.join(','),
    SECRET_KEY: secretKeyOf(installationKey, around.environmentId),
  }
}

export function secretKeyOf(installationKey: Secret, environmentId: number): Secret {
  const key = hkdfSync('sha256', installationKey.reveal(), '', `slipway environment ${environmentId}`, 32)
  return new Secret(Buffer.from(key).toString('base64url'))
}
