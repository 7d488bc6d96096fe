import { environmentKey, formatHostEntry, releaseKey, type Rules, wakeKey } from '../routing/index.ts'

/*
 * Who may see what of an environment: the rules for its addresses, and which of its releases have one. Pure.
 */

/** What is to be seen of an environment: the rules for its own address, and which of its releases have one. */
export interface Exposure {
  readonly environmentId: number
  readonly rules: Rules
  /** Passwords and ranges hold for the addresses of releases alone. */
  readonly onlyReleases: boolean
  /** Of the live environment's releases; others follow their environment. */
  readonly releaseAddresses: 'off' | 'protected' | 'public'
}

/** Of those environments that differ from what holds for most: everybody may ask, and the releases of live have no address. */
export type Exposures = ReadonlyMap<number, Exposure>

const noRules: Rules = { passwords: [], allowed: [], limits: null }
const usual = { rules: noRules, onlyReleases: false, releaseAddresses: 'protected' } as const

interface Exposed {
  readonly environmentId: number
  readonly live: boolean
  readonly releaseId: number
}

/** What hosts of an environment lead to. */
export interface HostEntries {
  readonly environment: string
  /** The addresses of its releases: of one that runs, and of all others together; null: they have none. */
  readonly releases: { readonly running: string; readonly others: string } | null
}

export function hostEntriesOf({ environmentId, live, releaseId }: Exposed, exposures: Exposures): HostEntries {
  const { rules, onlyReleases, releaseAddresses } = exposures.get(environmentId) ?? usual
  const guarded = { password: rules.passwords.length > 0, address: rules.allowed.length > 0 }
  const open = { password: false, address: false }
  const common = {
    environmentId,
    isLimited: rules.limits !== null,
    // Its releases have the same data.
    isWorkedOn: rules.maintenance !== undefined,
  }
  const isPublic = live && releaseAddresses === 'public'
  // The same for all of them: whoever may not see one cannot tell whether there is such a release.
  const release = (routeKey: string): string =>
    formatHostEntry({ ...common, routeKey, needs: isPublic ? open : guarded, isIndexed: false })
  return {
    environment: formatHostEntry({
      ...common,
      routeKey: environmentKey(environmentId),
      needs: onlyReleases ? open : guarded,
      isIndexed: live,
    }),
    releases: haveAddresses({ environmentId, live }, exposures)
      ? { running: release(releaseKey(releaseId)), others: release(wakeKey(environmentId)) }
      : null,
  }
}

/** Whether the releases of an environment have addresses of their own. */
export function haveAddresses(
  { environmentId, live }: { readonly environmentId: number; readonly live: boolean },
  exposures: Exposures,
): boolean {
  const { rules, releaseAddresses } = exposures.get(environmentId) ?? usual
  if (!live || releaseAddresses === 'public') return true
  return releaseAddresses === 'protected' && rules.passwords.length + rules.allowed.length > 0
}

/** The rules that the proxy must hold. */
export function rulesOf(exposures: Exposures): Map<number, Rules> {
  const ruled = [...exposures.values()].filter(({ rules }) => hasRules(rules))
  return new Map(ruled.map(({ environmentId, rules }) => [environmentId, rules]))
}

export function hasRules({ passwords, allowed, limits, maintenance }: Rules): boolean {
  return passwords.length + allowed.length > 0 || limits !== null || maintenance !== undefined
}
