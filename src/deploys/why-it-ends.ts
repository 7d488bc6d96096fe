import { SlipwayError } from '../kernel/errors.ts'
import type { Queryable } from '../postgres/database.ts'
import { findBroken, tellBroken } from './agreement.ts'
import { listSiblings } from './agreement-store.ts'
import { type CommandRecord, listCommandsBegun } from './commands-store.ts'
import type { Deploy } from './deploy.ts'
import { getDeploy } from './store.ts'
import { shortCommit } from '../kernel/short-commit.ts'

/** Why a deploy ends that somebody, or a newer push, wants to end: in its pusher's words. */
export async function whyItEnds(q: Queryable, deploy: Deploy): Promise<SlipwayError> {
  if (deploy.supersededBy !== null) {
    const { message, hint } = supersededBy(await getDeploy(q, deploy.supersededBy))
    return new SlipwayError('superseded', message, { hint })
  }
  // Nobody asked for this one's end: it is another of its push.
  if (deploy.strict !== null && deploy.cancelRequestedBy === null) {
    const others = (await listSiblings(q, deploy.strict.pushId)).filter(({ id }) => id !== deploy.id)
    return new SlipwayError('conflict', tellBroken(findBroken(others)))
  }
  const ran = deploy.commandsRan ? tellCommands(await listCommandsBegun(q, deploy.id)) : ''
  const by = deploy.cancelRequestedBy
  return new SlipwayError('cancelled', `${by === null ? 'It was cancelled' : `Cancelled by ${by}`}.${ran}`)
}

/** What the pusher of a replaced deploy is told. */
export function supersededBy(newer: Pick<Deploy, 'id' | 'commit' | 'kind' | 'environment'>): {
  message: string
  hint: string
} {
  const { environment } = newer
  if (newer.kind === 'rollback') {
    return {
      message: `${environment} goes back to an earlier release: deploy ${newer.id} (${shortCommit(newer.commit)}). This push is not deployed there.`,
      hint: `To deploy it after all: slipway deploy ${environment}`,
    }
  }
  return {
    message: `A newer push took the place of this one: deploy ${newer.id} (${shortCommit(newer.commit)}).`,
    hint: `Follow it with: slipway deploys log ${newer.id} -f`,
  }
}

function tellCommands(commands: readonly CommandRecord[]): string {
  const told = commands.map(({ label, exitCode }) => {
    // A shell as a container's first process does not hear SIGTERM, and may have come to its end in its time to leave.
    if (exitCode === null) return `“${label}” was told to stop (its output says how far it came)`
    return exitCode === 0 ? `“${label}” ran to its end` : `“${label}” ended with exit code ${exitCode}`
  })
  return ` Of its release commands ${told.join(', ')}.`
}
