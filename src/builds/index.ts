import { createHash, randomBytes } from 'node:crypto'
import type { Clock } from '../kernel/clock.ts'
import type { Database, Transaction } from '../postgres/database.ts'
import type { Builder } from './builder.ts'
import type { DiskRoom } from './disk-room.ts'
import { type BuildSettings, makeBuild } from './make-build.ts'
import { type BuildPlan, readBuildPlan } from './read-plan.ts'
import { isForGood, type OpenShare, openShare, type Waiter } from './share.ts'
import { makeBuildSlots } from './slots.ts'
import type { Source } from './source.ts'
import * as store from './store.ts'
import type { Build } from './store.ts'

export type { AppConfig, ReleaseCommand, WatchConfig } from './app-config.ts'
export { mostInstances, type ProcessConfig, processesOf, whyNotProcessName } from './processes.ts'
export { type CronJob, cronJobsOf } from './cron-jobs.ts'
export type { Builder, BuildOptions, BuildRequest, BuiltImage, ImageHealthcheck } from './builder.ts'
export {
  type Dockerfile,
  type ImageReference,
  limitTriggers,
  platformArgs,
  readDockerfile,
  readTriggers,
} from './dockerfile.ts'
export { assertImageAllowed, isImageId, type LocalImage, mayBeOutdated, readReference } from './dockerfile-images.ts'
export { baseLabel, type WrittenDockerfile, type WrittenStep, writeDockerfile } from './dockerfile-written.ts'
export { type IgnoreRules, readIgnoreRules } from './ignore-rules.ts'
export { type DiskPlace, type DiskRoom, makeDiskRoom } from './disk-room.ts'
export { holdImage, type Images, makeImages, tryHoldImage } from './images.ts'
export { getBuild } from './store.ts'
export type { BuildSettings } from './make-build.ts'
export type { BuildPlan } from './read-plan.ts'
export type { Source, WantedFile } from './source.ts'
export { type Build, LostBuildError } from './store.ts'

/** What a deploy wants built. */
export interface BuildWish {
  /** The deploy that wants a build of its own; left out, it shares one with whoever wants the same image now. */
  readonly ownOf?: number
  readonly appId: number
  readonly commit: string
  readonly plan: BuildPlan
}

export interface WaitOptions extends Waiter {
  readonly app: string
}

export interface Builds {
  /** What the commit wants; throws `config_invalid`, `build_failed` or `too_large` with a sentence for the pusher. */
  readPlan(app: string, commit: string, signal: AbortSignal): Promise<BuildPlan>
  /**
   * The build that makes this image: the one that waits or runs already, whichever deploy it was made for, else a new one
   * with its number and frozen configuration. The caller records in the same transaction that its deploy waits for it.
   */
  join(tx: Transaction, wish: BuildWish): Promise<Build>
  /**
   * Finished builds whose image is what is wished for, as far as it is known to be kept, the newest first; none for who wants a build of
   * its own. The engine may have lost one: `hasImage`.
   */
  listKept(wish: BuildWish): Promise<Build[]>
  /** Whether a build makes what is wished for: an environment's variables may have changed since it was joined. */
  isFor(build: Build, wish: BuildWish): Promise<boolean>
  /**
   * Waits for a build of which the deploy's row tells that it waits for it, and makes it if nobody does. Resolves with the
   * succeeded build; null when it was ended meanwhile because nobody waited for it: join another. Rejects with the build's
   * failure, the same for all who wait, or with the reason of the signal. The last one who leaves ends it.
   */
  wait(build: Build, plan: BuildPlan, options: WaitOptions): Promise<Build | null>
  get(id: number): Promise<Build>
  /** Whether the engine has the image of a finished build: somebody may have removed it by hand. */
  hasImage(build: Build): Promise<boolean>
  /** Ends builds that nobody waits for, and removes what builds that came to nothing left. Returns how many left something. */
  sweep(): Promise<number>
}

export interface BuildDependencies {
  readonly db: Database
  readonly source: Source
  readonly builder: Builder
  readonly settings: BuildSettings
  /** Asked before each build; without it none is refused. */
  readonly disk?: DiskRoom
  /** The machine's own when left out. */
  readonly clock?: Clock
}

export function makeBuilds(deps: BuildDependencies): Builds {
  const { db, source, builder, settings } = deps
  const worker = randomBytes(6).toString('hex')
  const workshop = { ...deps, slots: makeBuildSlots(settings.slots), worker }
  /** The builds that this server makes now, by id. */
  const shares = new Map<number, OpenShare>()

  const open = (build: Build, job: { app: string; plan: BuildPlan }): OpenShare => {
    const share = openShare({
      buildNumber: build.number,
      make: (inside) => makeBuild(workshop, { id: build.id, ...job }, inside),
      abandon: (left) => store.abandonBuild(db, { id: build.id, worker }, left),
      onSettled: () => shares.delete(build.id),
    })
    shares.set(build.id, share)
    return share
  }

  /** Who is to end before he could wait for a build that he has asked for: the row must not be left to nobody. */
  const leaveUnmade = async (id: number, { deployId, signal }: WaitOptions): Promise<void> => {
    if (shares.has(id) || !isForGood(signal)) return
    await store.abandonBuild(db, { id, worker }, [deployId])
  }

  return {
    readPlan: (app, commit, signal) => readBuildPlan(source, app, commit, signal),
    join: (tx, wish) =>
      store.findOrInsertBuild(tx, {
        appId: wish.appId,
        commit: wish.commit,
        config: wish.plan.config,
        key: keyOf(wish, settings.platform),
      }),
    listKept: async (wish) =>
      wish.ownOf === undefined ? store.listKeptBuilds(db, keyOf(wish, settings.platform)) : [],
    isFor: (build, wish) => store.hasKey(db, build.id, keyOf(wish, settings.platform)),
    async wait(build, plan, options) {
      for (;;) {
        if (options.signal.aborted) await leaveUnmade(build.id, options)
        options.signal.throwIfAborted()
        const share = shares.get(build.id) ?? open(build, { app: options.app, plan })
        const ending = share.ending()
        if (ending !== null) await ending
        const waited = ending === null ? await share.attend(options) : 'again'
        if (waited !== 'again') return waited
      }
    },
    get: (id) => store.getBuild(db, id),
    hasImage: async ({ image }) => image !== null && builder.has(image.digest),
    async sweep() {
      for (const share of [...shares.values()]) await share.reconsider()
      await store.endAbandonedBuilds(db, [...shares.keys()])
      const abandoned = await store.findAbandonedBuilds(db, await builder.listTraces())
      const left = abandoned.filter((id) => !shares.has(id))
      for (const id of left) await builder.discard(id)
      return left.length
    },
  }
}

/** Two builds with the same key would make the same image. One of its own has a key that nobody else asks for until it is made. */
function keyOf({ appId, commit, plan, ownOf }: BuildWish, platform: string): string {
  const ofVariables = plan.variables?.key ?? null
  const variables = ofVariables === null ? [] : [ofVariables]
  const key = createHash('sha256')
    .update(JSON.stringify([appId, commit, plan.config.build, platform, ...variables]))
    .digest('hex')
  return ownOf === undefined ? key : `${key}:${ownOf}`
}
