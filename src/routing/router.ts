/**
 * The proxy's routes. Declared by routing, implemented by `adapters/haproxy`.
 *
 * Three maps: host → route key, and which rules hold for it (`formatHostEntry`); route key → release set or a state; release
 * set member → address. A swap is one command on the second. All methods write the file before the socket command, are safe to repeat, have a time limit, and throw
 * `unavailable` when the proxy does not answer: the change is then unknown until `read` tells.
 */
export interface Router {
  /**
   * Makes the proxy's maps exactly this (start, and after the proxy came back). Running connections are not touched. That may be
   * many commands: before each `mayGoOn` is awaited, and nothing more is written when it throws.
   */
  replaceAll(routes: Routes, mayGoOn?: () => Promise<void>): Promise<void>
  /** Sends a host name to a route key, by the rules that its entry names (`formatHostEntry`; a bare route key: none). */
  addHost(host: string, entry: string): Promise<void>
  removeHost(host: string): Promise<void>
  /** Writes where the members of a set are; before anything points to the set. */
  defineSet(setId: string, targets: readonly Target[]): Promise<void>
  /** Points a route key at a set (or a state) in one atomic step and reads it back. */
  swap(routeKey: string, to: RouteTarget): Promise<void>
  /** Removes a set that nothing points to any more. */
  removeSet(setId: string): Promise<void>
  removeKey(routeKey: string): Promise<void>
  /** How long an answer to a request of this route may be silent; null: the proxy's default of 300 s. */
  setTimeout(routeKey: string, ms: number | null): Promise<void>
  /**
   * Makes the rules of an environment these; null: none are left. A host whose entry names rules that are not there lets nobody
   * in: so they are set before hosts name them, and removed after.
   */
  setRules(environmentId: number, rules: Rules | null): Promise<void>
  /** How many requests and upgraded connections are open to a target; null when unknown (a reloaded proxy has left some to its
   * predecessor). */
  openConnections(target: Target): Promise<number | null>
  /**
   * Whether a target is used: what is open to it, as `openConnections` says, and how long none has begun or ended; null when unknown, or
   * when none ever came. `asked`: how many requests have come to it since the proxy began to count, which a restart of the proxy ends.
   */
  readUse(target: Target): Promise<TargetUse>
  /** Whether new requests may still come to what a route led to before a swap: a minute long after the proxy was reloaded, on
   * connections that clients had kept open. */
  mayLeadAsBefore(): Promise<boolean>
  /** What is not as it was last written, a sentence for each: a file that is gone or was changed. `replaceAll` mends it. */
  damages(): Promise<string[]>
  /** Since when the proxy runs, to the second; null when it does not answer. */
  startedAt(): Promise<Date | null>
  /** What the proxy really holds now. */
  read(): Promise<Routes>
}

/** Who may ask for an environment's sites, and how much, as the proxy knows it: its protection without names. */
export interface Rules {
  /** As `passwordHash` makes them. */
  readonly passwords: readonly string[]
  /** As `rangePrefixes` makes them: who comes from there needs no password. */
  readonly allowed: readonly string[]
  /** Null: the proxy's own. */
  readonly limits: Limits | null
  /** The site is being worked on; left out: it is not. */
  readonly maintenance?: Maintenance
}

/** What visitors are told of a site that is being worked on. */
export interface Maintenance {
  readonly message: string
  /** As `rangePrefixes` makes them: who comes from there sees the site. */
  readonly allowed: readonly string[]
}

/** Null: not limited beyond what the proxy limits for all. */
export interface Limits {
  /** Open requests at each instance. */
  readonly requests: number | null
  /** Requests of one visitor each second, over ten seconds. */
  readonly visitorRate: number | null
  /** Open requests of one visitor. */
  readonly visitorRequests: number | null
}

export interface TargetUse {
  readonly open: number | null
  readonly quietMs: number | null
  readonly asked: number
}

export interface Target {
  readonly address: string
  readonly port: number
}

export type RouteTarget =
  | { readonly set: string; readonly size: number }
  | { readonly state: 'failed' | 'stopped' | 'asleep' }

export interface Routes {
  readonly hosts: ReadonlyMap<string, string>
  readonly keys: ReadonlyMap<string, RouteTarget>
  readonly sets: ReadonlyMap<string, readonly Target[]>
  /** Route key → milliseconds, where they are not the default. */
  readonly timeouts?: ReadonlyMap<string, number>
  /** Environment → its rules, where it has any. */
  readonly rules?: ReadonlyMap<number, Rules>
}
