import { type Clock, systemClock } from '../kernel/clock.ts'
import { asSlipwayError, SlipwayError } from '../kernel/errors.ts'
import { faultPoint } from '../kernel/fault-point.ts'
import type { Database } from '../postgres/database.ts'
import { isDatabaseAway } from '../postgres/index.ts'
import type { Builder, BuiltImage } from './builder.ts'
import type { DiskRoom } from './disk-room.ts'
import type { BuildPlan } from './read-plan.ts'
import type { Share } from './share.ts'
import type { BuildSlots } from './slots.ts'
import type { Source } from './source.ts'
import * as store from './store.ts'
import { type Build, LostBuildError } from './store.ts'

/** Nobody takes a build over before its maker has been silent for longer: half of the lease of the deploys that wait for it. */
const freshMs = 15_000

export interface BuildSettings {
  readonly pull: 'always' | 'missing'
  readonly memoryBytes: number
  readonly cpus: number
  /** How many builds at once. */
  readonly slots: number
  readonly timeoutMs: number
  /** What the image will run on: part of a build's key. */
  readonly platform: string
}

export interface Workshop {
  readonly db: Database
  readonly source: Source
  readonly builder: Builder
  readonly settings: BuildSettings
  readonly slots: BuildSlots
  readonly disk?: DiskRoom
  readonly clock?: Clock
  /** Who records: this life of this server. */
  readonly worker: string
}

export interface Job {
  readonly id: number
  readonly app: string
  readonly plan: BuildPlan
}

/**
 * Makes the image of a build, or adopts it when an earlier life of the server had finished it. Null when the build was ended
 * before, because nobody waited for it. A build that failed fails again with the same words.
 */
export async function makeBuild(shop: Workshop, job: Job, share: Share): Promise<Build | null> {
  const own = { id: job.id, worker: shop.worker }
  const build = await store.claimBuild(shop.db, own)
  if (build === null) return outcomeOf(shop, job.id)
  try {
    const finished = build.state === 'running' ? await adopt(shop, own, share) : null
    const image = finished ?? (await buildImage(shop, { build, job, own, share }))
    faultPoint('build.made')
    await store.markBuildSucceeded(shop.db, own, image)
    return { ...build, state: 'succeeded', image }
  } catch (thrown) {
    // The last deploy left in the moment in which the image was made.
    if (thrown instanceof LostBuildError && (await store.isCancelled(shop.db, own))) await shop.builder.discard(own.id)
    // Ended by nobody's waiting, taken over, or maybe finished: whoever takes its deploys up again looks.
    if (share.signal.aborted || thrown instanceof LostBuildError || isDatabaseAway(thrown)) throw thrown
    await store.markBuildFailed(shop.db, own, asSlipwayError(thrown))
    throw thrown
  }
}

/** Of a build that has ended. */
async function outcomeOf({ db }: Workshop, id: number): Promise<Build | null> {
  const build = await store.findBuild(db, id)
  if (build === null || build.state === 'cancelled') return null
  if (build.state === 'failed')
    throw (await store.findFailure(db, id)) ?? new SlipwayError('build_failed', 'It failed.')
  return build
}

/** A build that an earlier life of the server had begun: its image if it was finished, else what it left is removed. */
async function adopt({ db, builder }: Workshop, own: store.OwnBuild, share: Share): Promise<BuiltImage | null> {
  const finished = await builder.find(own.id)
  if (finished !== null) return finished
  if (!(await store.isHeld(db, own))) throw new LostBuildError(own)
  await builder.cleanUp(own.id)
  await store.markBuildWaiting(db, own)
  share.say('The build was cut off in its middle and starts over')
  return null
}

async function buildImage(
  shop: Workshop,
  { build, job, own, share }: { build: Build; job: Job; own: store.OwnBuild; share: Share },
): Promise<BuiltImage> {
  const { db, source, builder, settings, slots, disk } = shop
  const { output, signal } = share
  const release = await slots.take(build, signal, (before) => share.sayPlace(placeWords(before)))
  share.sayPlace(null)
  try {
    await disk?.assertForBuild((text) => share.say(text), signal)
    await beginHeld(shop, own)
    faultPoint('build.running')
    const { dockerfile, context, target, args, builder: kind } = job.plan.config.build
    const request = {
      buildId: build.id,
      app: job.app,
      labels: {},
      openContext: (until: AbortSignal) => source.archive(job.app, build.commit, context, until),
      ignore: job.plan.ignore,
      dockerfile: { path: dockerfile, text: job.plan.dockerfileText },
      target,
      builder: kind,
      args: { ...args, ...revealed(job.plan) },
      pull: settings.pull,
      limits: { memoryBytes: settings.memoryBytes, cpus: settings.cpus, timeoutMs: settings.timeoutMs },
    }
    const isHeld = (): Promise<boolean> => store.isHeld(db, own)
    return await builder.build(request, {
      onLine: (line) => output.write(line),
      room: () => output.room(),
      isHeld,
      signal,
    })
  } finally {
    release()
  }
}

/**
 * The answer may come to a process that was frozen, when another one makes the build, or has made it: then nothing would ever
 * look for what this one begins. So it is asked for again until it is fresh.
 */
async function beginHeld({ db, clock = systemClock }: Workshop, own: store.OwnBuild): Promise<void> {
  for (;;) {
    const askedMs = clock.monotonicMs()
    await store.markBuildRunning(db, own, 'local')
    if (clock.monotonicMs() - askedMs < freshMs) return
  }
}

/** The environment's own win over those of slipway.yml. */
function revealed({ variables }: BuildPlan): Record<string, string> {
  return Object.fromEntries(Object.entries(variables?.args ?? {}).map(([name, value]) => [name, value.reveal()]))
}

function placeWords(before: number): string {
  const place = before === 0 ? 'next in line' : `${before} build${before === 1 ? '' : 's'} before it`
  return `Waiting for a build slot, ${place}`
}
