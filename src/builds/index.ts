import { createHash } from 'node:crypto'
import { asSlipwayError, SlipwayError } from '../kernel/errors.ts'
import { makeSlots } from '../kernel/slots.ts'
import type { Database, Transaction } from '../postgres/database.ts'
import { isDatabaseAway } from '../postgres/index.ts'
import type { Builder, BuiltImage } from './builder.ts'
import { type BuildPlan, readBuildPlan } from './read-plan.ts'
import type { Source } from './source.ts'
import * as store from './store.ts'
import type { Build } from './store.ts'

export type { AppConfig, ReleaseCommand } from './app-config.ts'
export type { Builder, BuildOptions, BuildRequest, BuiltImage, ImageHealthcheck } from './builder.ts'
export {
  type Dockerfile,
  type ImageReference,
  platformArgs,
  readDockerfile,
  readTriggers,
} from './dockerfile.ts'
export { assertImageAllowed, isImageId, type LocalImage, mayBeOutdated, readReference } from './dockerfile-images.ts'
export { baseLabel, type WrittenDockerfile, type WrittenStep, writeDockerfile } from './dockerfile-written.ts'
export { type IgnoreRules, readIgnoreRules } from './ignore-rules.ts'
export { holdImage, type Images, makeImages } from './images.ts'
export type { BuildPlan } from './read-plan.ts'
export type { Source, WantedFile } from './source.ts'
export type { Build } from './store.ts'

export interface BuildSettings {
  readonly pull: 'always' | 'missing'
  readonly memoryBytes: number
  readonly cpus: number
  readonly slots: number
  readonly timeoutMs: number
  /** What the image will run on: part of a build's key. */
  readonly platform: string
}

export interface RunOptions {
  readonly app: string
  /** What the build prints: foreign text. */
  readonly onLine: (line: string) => void
  /** Resolves when more of it may come. */
  readonly room: () => Promise<void>
  /** What Slipway has to say meanwhile. */
  readonly onNote: (text: string) => void
  readonly labels: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

export interface Builds {
  /** What the commit wants; throws `config_invalid`, `build_failed` or `too_large` with a sentence for the pusher. */
  readPlan(app: string, commit: string, signal: AbortSignal): Promise<BuildPlan>
  /** Makes the build's row with its number and frozen configuration. */
  create(tx: Transaction, request: { appId: number; commit: string; plan: BuildPlan }): Promise<Build>
  /** Builds, or adopts the image when an earlier life of the server had finished it. Resolves with the succeeded build. */
  run(build: Build, plan: BuildPlan, options: RunOptions): Promise<Build>
  get(id: number): Promise<Build>
  /** Removes what builds that came to nothing left on the engine while it was away. Returns how many there were. */
  sweep(): Promise<number>
}

export function makeBuilds(deps: { db: Database; source: Source; builder: Builder; settings: BuildSettings }): Builds {
  const { db, source, builder, settings } = deps
  const slots = makeSlots(settings.slots)

  const get = async (id: number): Promise<Build> => {
    const build = await store.findBuild(db, id)
    if (build === null) throw new SlipwayError('not_found', `There is no build ${id}.`)
    return build
  }

  const buildImage = async (build: Build, plan: BuildPlan, options: RunOptions): Promise<BuiltImage> => {
    const release = await slots.take(options.signal, (ahead) =>
      options.onNote(`Waiting for a build slot (${ahead} before this one, ${settings.slots} on this host)`),
    )
    try {
      const { dockerfile, context, target, args, builder: kind } = plan.config.build
      const request = {
        buildId: build.id,
        app: options.app,
        labels: options.labels,
        openContext: (signal: AbortSignal) => source.archive(options.app, build.commit, context, signal),
        ignore: plan.ignore,
        dockerfile: { path: dockerfile, text: plan.dockerfileText },
        target,
        builder: kind,
        args,
        pull: settings.pull,
        limits: { memoryBytes: settings.memoryBytes, cpus: settings.cpus, timeoutMs: settings.timeoutMs },
      }
      return await builder.build(request, { onLine: options.onLine, room: options.room, signal: options.signal })
    } finally {
      release()
    }
  }

  return {
    readPlan: (app, commit, signal) => readBuildPlan(source, app, commit, signal),
    create: (tx, { appId, commit, plan }) =>
      store.insertBuild(tx, { appId, commit, config: plan.config, key: keyOf(appId, commit, plan, settings.platform) }),
    get,
    async sweep() {
      const abandoned = await store.findAbandonedBuilds(db, await builder.listTraces())
      for (const id of abandoned) await builder.discard(id)
      return abandoned.length
    },
    async run(build, plan, options) {
      if (build.state === 'succeeded') return build
      try {
        // A build that is running already was begun in an earlier life of the server.
        const finished = build.state === 'running' ? await builder.find(build.id) : null
        if (build.state === 'running') await builder.cleanUp(build.id)
        await store.markBuildRunning(db, build.id, 'local')
        const image = finished ?? (await buildImage(build, plan, options))
        await store.markBuildSucceeded(db, build.id, image)
        return { ...build, state: 'succeeded', image }
      } catch (thrown) {
        // It may be finished: whoever takes the deploy up again looks.
        if (isDatabaseAway(thrown)) throw thrown
        const error = asSlipwayError(thrown)
        await store.markBuildEnded(db, build.id, error.code === 'cancelled' ? 'cancelled' : 'failed', error.message)
        throw thrown
      }
    },
  }
}

/** Two builds with the same key would make the same image. Build-time variables join in when there are any. */
function keyOf(appId: number, commit: string, plan: BuildPlan, platform: string): string {
  return createHash('sha256')
    .update(JSON.stringify([appId, commit, plan.config.build, platform]))
    .digest('hex')
}
