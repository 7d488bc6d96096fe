import { isAway, SlipwayError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Database, Transaction } from '../postgres/database.ts'
import { isDatabaseAway } from '../postgres/index.ts'
import type { Builder } from './builder.ts'
import * as store from './images-store.ts'

/** The images of finished builds, and their end. */
export interface Images {
  /**
   * Removes the images of these builds from the engine, but for those that meanwhile run, are pinned or are wanted by a
   * deploy. Recorded first: from then on nothing starts from them. Returns how many were given up.
   */
  remove(buildIds: readonly number[], signal?: AbortSignal): Promise<number>
  /** Finishes removals that the engine did not do, and removes what finished builds left beside their images. */
  sweep(signal?: AbortSignal): Promise<number>
}

/** What one record names at a time: rows are locked meanwhile. */
const batch = 100

export function makeImages(deps: { db: Database; builder: Builder; logger: Logger }): Images {
  const { db, builder, logger } = deps

  const removeAll = async (images: readonly store.GivenUpImage[], signal?: AbortSignal): Promise<void> => {
    for (const { buildId, digest } of images) {
      signal?.throwIfAborted()
      try {
        await builder.removeImage(digest)
      } catch (error) {
        if (isInVain(error)) throw error
        logger.warn('an image could not be removed; it is tried again', { buildId, error })
      }
    }
  }

  return {
    async remove(buildIds, signal) {
      let removed = 0
      for (let i = 0; i < buildIds.length; i += batch) {
        signal?.throwIfAborted()
        const given = await db.transaction((tx) => store.giveUpImages(tx, buildIds.slice(i, i + batch)))
        removed += given.length
        await removeAll(given, signal)
      }
      return removed
    },
    async sweep(signal) {
      const left = await store.findGivenUpImages(db, await builder.listTraces())
      await removeAll(left, signal)
      const beside = await store.findFinished(db, await builder.listLeftOver())
      for (const buildId of beside) {
        signal?.throwIfAborted()
        await builder.cleanUp(buildId)
      }
      return left.length + beside.length
    },
  }
}

/**
 * Whoever makes a deploy start from a build that is finished (going back, promoting, pinning) calls this in the transaction in
 * which that is recorded: either the image stays, or this throws.
 */
export async function holdImage(tx: Transaction, buildId: number): Promise<void> {
  if (await store.lockImage(tx, buildId)) return
  throw new SlipwayError('conflict', 'The image is gone: it was too old to be kept.', {
    hint: 'To build its commit again and deploy that: slipway releases rebuild. More releases are kept with SLIPWAY_KEEP_RELEASES.',
  })
}

/** The same for who can do without: false when the image is given up. */
export const tryHoldImage: (tx: Transaction, buildId: number) => Promise<boolean> = store.lockImage

/** The next image would meet the same. */
function isInVain(error: unknown): boolean {
  return isDatabaseAway(error) || isAway(error)
}
