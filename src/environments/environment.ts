/** An app: one repository and its environments. */
export interface App {
  readonly id: number
  readonly name: string
  /** null until a first branch arrived. */
  readonly defaultBranch: string | null
  readonly createdAt: Date
  /** It goes with all that it has; nothing new begins in it. */
  readonly isRemoving: boolean
  /** Who may see the addresses of the live environment's releases. */
  readonly releaseAddresses: 'off' | 'protected' | 'public'
}

/** One running copy of an app. */
export interface Environment {
  readonly id: number
  readonly appId: number
  readonly app: string
  readonly name: string
  /** The one address: `test--shop`, or `shop` where live. */
  readonly label: string
  readonly live: boolean
  /** Its own branch; null follows the app's default branch. */
  readonly branch: string | null
  /** The branch it follows in effect; null when the app has none yet. */
  readonly followedBranch: string | null
  readonly deployOnPush: boolean
  /** Whether the branch it follows may be pushed with force. */
  readonly allowForcedPush: boolean
  readonly supersede: Supersede
  /** A push deploys nothing here until somebody deploys by hand: so after a rollback. */
  readonly held: boolean
  /** Null: deploys begin as ever. */
  readonly lock: EnvironmentLock | null
  /** Visitors are told that the site is being worked on; null: they see it. */
  readonly maintenance: EnvironmentMaintenance | null
  readonly state: EnvironmentState
  /** Who may see it: how many have a password, from how many ranges of addresses one may come; neither: everybody. */
  readonly protection: { readonly users: number; readonly ranges: number; readonly onlyReleases: boolean }
  /** Grows with each change. */
  readonly version: number
}

export interface EnvironmentMaintenance {
  /** Empty: the page's own words. */
  readonly message: string
  readonly by: string
  readonly since: Date
  /** Who comes from there sees the site. */
  readonly allow: readonly string[]
}

/** Somebody holds an environment's deploys back. */
export interface EnvironmentLock {
  readonly reason: string
  readonly by: string
  readonly since: Date
  /** Deploys wait for the unlock; else they are refused. */
  readonly waits: boolean
  readonly allowsRollbacks: boolean
}

/** `stopped`: its address says so, and nothing of it runs. `removing`: it goes with all that it has. */
export type EnvironmentState = 'active' | 'stopped' | 'removing'

/** What a newer push takes the place of: a waiting push, or also a running one that has not reached its release commands. */
export type Supersede = 'waiting' | 'running'

export interface EnvironmentChange {
  /** null: follow the default branch again. Left out: as it is. */
  readonly branch?: string | null
  readonly deployOnPush?: boolean
  readonly allowForcedPush?: boolean
  readonly supersede?: Supersede
  readonly held?: boolean
}

/** What a new environment does when nobody says otherwise. */
export interface FirstEnvironment {
  readonly name: string
  readonly live: boolean
  readonly deployOnPush: boolean
  readonly allowForcedPush: boolean
}

/** What an app starts with: the last is the live one, the first deploys on push. */
export function environmentsFor(names: readonly string[]): FirstEnvironment[] {
  return names.map((name, at) => {
    const live = at === names.length - 1
    return { name, live, deployOnPush: at === 0, allowForcedPush: !live }
  })
}

/** What every new app starts with, unless others are named. */
export const firstEnvironments: readonly FirstEnvironment[] = environmentsFor(['test', 'live'])

/** The label: the address's first part. App and environment names hold no `--`, so no two environments share one. */
export function labelOf(app: string, environment: { name: string; live: boolean }): string {
  return environment.live ? app : `${environment.name}--${app}`
}

/** Who did it, for an event; nothing: whoever acts now. */
export const byOf = (by: string | undefined): { by?: string } => (by === undefined ? {} : { by })
