import { asSlipwayError, SlipwayError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { AcceptedUpdate, RefReport } from './plan-push.ts'
import { heldRefs, type RefMove, type Repositories, zeroId } from './repositories.ts'

export interface Moved {
  readonly moved: readonly AcceptedUpdate[]
  readonly lost: readonly RefReport[]
  /** The hidden refs that hold the new commits until the deploys do. */
  readonly held: readonly string[]
}

/**
 * Moves the accepted refs, all at once. In the same step each branch's new commit gets a hidden ref of the push: it proves
 * after a crash that the branch moved, and it holds the commit until its deploys do. When one ref has lost a race, the
 * others are moved one by one, unless all or nothing was asked for.
 */
export async function moveAccepted(
  { repositories, logger }: { repositories: Repositories; logger: Logger },
  push: { app: string; pushId: number; atomic: boolean },
  accepted: readonly AcceptedUpdate[],
): Promise<Moved> {
  const moves = accepted.map((update, i) => movesFor(update, `${heldRefs.ofPush(push.pushId)}${i}`))
  try {
    await repositories.moveRefs(push.app, moves.flat())
    return { moved: accepted, lost: [], held: moves.flatMap(heldOf) }
  } catch (thrown) {
    const reason = reasonOf(thrown)
    logger.info('refs could not be moved at once', { app: push.app, pushId: push.pushId, reason, error: thrown })
    if (push.atomic || accepted.length === 1) {
      return { moved: [], lost: accepted.map(({ ref }) => ({ ref, refused: reason })), held: [] }
    }
  }
  const moved: AcceptedUpdate[] = []
  const lost: RefReport[] = []
  const held: string[] = []
  for (const [i, update] of accepted.entries()) {
    try {
      await repositories.moveRefs(push.app, moves[i] ?? [])
      moved.push(update)
      held.push(...heldOf(moves[i] ?? []))
    } catch (thrown) {
      lost.push({ ref: update.ref, refused: reasonOf(thrown) })
    }
  }
  return { moved, lost, held }
}

function movesFor(update: AcceptedUpdate, holder: string): RefMove[] {
  const move = { ref: update.ref, old: update.old, new: update.new }
  return update.branch === null || update.new === zeroId ? [move] : [move, { ref: holder, old: null, new: update.new }]
}

const heldOf = (moves: readonly RefMove[]): string[] => moves.slice(1).map(({ ref }) => ref)

/** Only what says which ref is in the way is a refusal; anything else ends the push. */
function reasonOf(thrown: unknown): string {
  const error = asSlipwayError(thrown)
  if (error.code === 'conflict') return error.message
  throw new SlipwayError(error.code, error.message, { cause: thrown })
}
