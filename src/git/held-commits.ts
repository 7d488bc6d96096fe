import { asSlipwayError } from '../kernel/errors.ts'
import type { GitDependencies } from './dependencies.ts'
import { heldRefs } from './repositories.ts'
import { listCommitsToHold } from './store.ts'

export interface HeldCommits {
  /** Commits that were not held and are now. */
  readonly held: number
  readonly dropped: number
}

const batch = 500

/**
 * Makes the hidden refs of an app's deploys agree with the database: held are the commits of deploys that wait, run, or made
 * a release whose image is kept, and for some days those of all others. The refs are listed first: a deploy's row is there
 * before its ref.
 */
export async function levelHeldCommits(
  { db, repositories, logger }: Pick<GitDependencies, 'db' | 'repositories' | 'logger'>,
  app: string,
  keepDays: number,
): Promise<HeldCommits> {
  const there = new Set([...(await repositories.listRefs(app, heldRefs.ofDeploys)).keys()].map(deployOf))
  const wanted = new Map((await listCommitsToHold(db, app, keepDays)).map(({ id, commit }) => [id, commit]))
  let held = 0
  const gone: number[] = []
  for (const [id, commit] of wanted) {
    if (there.has(id)) continue
    try {
      await repositories.keepCommit(app, id, commit)
      held += 1
    } catch (error) {
      if (asSlipwayError(error).code !== 'conflict') throw error
      gone.push(id)
    }
  }
  if (gone.length > 0) logger.warn('commits of deploys could not be held', { app, deploys: gone })
  const unwanted = [...there].filter((id) => Number.isSafeInteger(id) && !wanted.has(id))
  for (let i = 0; i < unwanted.length; i += batch) await repositories.dropKept(app, unwanted.slice(i, i + batch))
  return { held, dropped: unwanted.length }
}

const deployOf = (ref: string): number => Number(ref.slice(heldRefs.ofDeploys.length))
