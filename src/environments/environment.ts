/** An app: one repository and its environments. */
export interface App {
  readonly id: number
  readonly name: string
  /** null until a first branch arrived. */
  readonly defaultBranch: string | null
  readonly createdAt: Date
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
}

/** What a newer push takes the place of: a waiting push, or also a running one that has not reached its release commands. */
export type Supersede = 'waiting' | 'running'

export interface EnvironmentChange {
  /** null: follow the default branch again. Left out: as it is. */
  readonly branch?: string | null
  readonly deployOnPush?: boolean
  readonly allowForcedPush?: boolean
  readonly supersede?: Supersede
}

/** What every new app starts with. */
export const firstEnvironments = [
  { name: 'test', live: false, deployOnPush: true, allowForcedPush: true },
  { name: 'live', live: true, deployOnPush: false, allowForcedPush: false },
] as const

/** The label: the address's first part. App and environment names hold no `--`, so no two environments share one. */
export function labelOf(app: string, environment: { name: string; live: boolean }): string {
  return environment.live ? app : `${environment.name}--${app}`
}
