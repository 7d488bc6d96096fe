/*
 * The app's own configuration, as it is frozen into a build: `slipway.yml` with its defaults filled in. Times are in
 * milliseconds, sizes in bytes.
 */

export interface AppConfig {
  readonly build: {
    readonly dockerfile: string
    readonly context: string
    readonly target: string | null
    readonly args: Readonly<Record<string, string>>
    readonly builder: 'auto' | 'engine' | 'buildkit'
  }
  /** null: the image's EXPOSE, else 8080. */
  readonly port: number | null
  readonly health: {
    /** null: a TCP connect, then GET / must not answer 5xx. */
    readonly path: string | null
    readonly status: { readonly from: number; readonly to: number }
    readonly intervalMs: number
    readonly timeoutMs: number
    readonly deadlineMs: number
  }
  readonly selfTests: readonly string[]
  readonly releaseCommands: readonly ReleaseCommand[]
  readonly drainMs: number
  readonly stopMs: number
  readonly resources: { readonly memoryBytes: number; readonly cpus: number; readonly pids: number }
}

export interface ReleaseCommand {
  readonly label: string
  readonly run: string
  readonly on: readonly ('deploy' | 'promote')[]
  readonly timeoutMs: number
}
