import type { CommandSince } from './store.ts'

/** What is to be said of a rollback. */
export interface Told {
  readonly app: string
  readonly environment: string
  readonly from: number
  readonly to: number
  /** It takes the variables of then, and today's are others. */
  readonly changesVariables: boolean
  readonly commands: { readonly total: number; readonly first: readonly CommandSince[] }
  /** It keeps pushes from being deployed. */
  readonly holds: boolean
  /** Pushes are held already. */
  readonly isHeld: boolean
}

const mostNamed = 5

/** What whoever goes back must know, in sentences: before it begins, and in the deploy's log. */
export function noteRollback(told: Told): string[] {
  const { app, environment } = told
  return [
    ...(told.changesVariables
      ? [`With the variables of v${told.to}; the next deploy of ${environment} takes today’s again`]
      : []),
    ...noteCommands(told),
    ...(told.holds || told.isHeld
      ? [
          `Pushes to ${environment} are held: they are not deployed until somebody deploys or promotes to it by hand`,
          `To deploy on pushes again: slipway envs set ${environment} --no-hold -a ${app}`,
        ]
      : []),
  ]
}

function noteCommands({ commands: { total, first }, to }: Told): string[] {
  if (total === 0) return []
  const named = first.slice(0, mostNamed).map(describeCommand)
  const rest = total > named.length ? ` and ${total - named.length} more` : ''
  return [
    `Release commands have run since v${to}, and what they did to the data stays done: ${named.join(', ')}${rest}`,
  ]
}

function describeCommand({ label, deployId, release, exitCode }: CommandSince): string {
  const how = exitCode === 0 ? '' : exitCode === null ? ', stopped' : `, exit code ${exitCode}`
  return `${label} (${release === null ? `deploy ${deployId}` : `v${release}`}${how})`
}
