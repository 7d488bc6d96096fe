import type { Images } from '../builds/index.ts'
import { makeMutex } from '../kernel/mutex.ts'
import type { Queryable } from '../postgres/database.ts'
import { chooseImagesToRemove, listAppsWithImages, listKeptImages, listKeptReleases } from '../releases/index.ts'

/**
 * Apps at a time: an image belongs to one app, so all that could keep it is looked at together. 10,000 environments with 20
 * releases each take 2 s.
 */
const appsAtOnce = 500

/** Removes the images of releases that are not kept. Also called when the disk is nearly full. */
export interface Retention {
  run(signal: AbortSignal): Promise<{ images: number; leftOver: number }>
}

export function makeRetention(deps: { db: Queryable; images: Images; keepReleases: number }): Retention {
  const { db, images, keepReleases } = deps
  const inTurn = makeMutex()
  return {
    run: (signal) =>
      inTurn(async () => {
        let removed = 0
        for (let after = 0; ; ) {
          signal.throwIfAborted()
          const apps = await listAppsWithImages(db, after, appsAtOnce)
          const [there, releases] = await Promise.all([listKeptImages(db, apps), listKeptReleases(db, apps)])
          removed += await images.remove(chooseImagesToRemove(there, releases, keepReleases), signal)
          if (apps.length < appsAtOnce) break
          after = apps.at(-1) as number
        }
        return { images: removed, leftOver: await images.sweep(signal) }
      }),
  }
}
