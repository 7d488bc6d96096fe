import type { GitDependencies } from './dependencies.ts'
import * as store from './store.ts'

const heads = 'refs/heads/'

/** Records where the branches of apps stand that are older than the record. Once for each, before any push is let in. */
export async function learnBranches({ db, repositories }: Pick<GitDependencies, 'db' | 'repositories'>): Promise<void> {
  for (const { id, name } of await store.listAppsWithUnknownBranches(db)) {
    const refs = (await repositories.exists(name))
      ? await repositories.listRefs(name, heads)
      : new Map<string, string>()
    // Refs are bytes here; names that are no UTF-8 are no branches that an environment could follow.
    const found = [...refs].map(([ref, head]) => ({
      branch: Buffer.from(ref.slice(heads.length), 'latin1').toString(),
      head,
    }))
    await db.transaction(async (tx) => {
      await store.recordBranches(tx, id, found)
      await store.markBranchesKnown(tx, id)
    })
  }
}
