import type { Readable } from 'node:stream'
import {
  type Builder,
  type BuildOptions,
  type BuildRequest,
  type BuiltImage,
  type ImageReference,
  readDockerfile,
  writeDockerfile,
} from '../../builds/index.ts'
import { asSlipwayError, SlipwayError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import { type BaseImages, keyOf, prepareBases } from './base-images.ts'
import { buildkitError, noSpaceError, timeLimitError } from './build-errors.ts'
import { makeBuildLabels } from './build-labels.ts'
import {
  listBuildTraces,
  listLeftOverBuilds,
  removeBuildContainers,
  removeBuiltImage,
  removeIntermediates,
} from './build-removal.ts'
import { findBuiltImage, inspectImage, readBuiltImage } from './built-image.ts'
import type { Engine } from './engine.ts'
import { runEngineBuild } from './engine-build.ts'
import { freeBytes, rememberHost } from './host-facts.ts'
import { labelBases, type LabelledBases } from './labelled-bases.ts'
import { makeProcessLimit } from './limit-processes.ts'

export interface BuilderOptions {
  readonly engine: Engine
  readonly installation: string
  /** The network that build steps run on; null is the engine's default, for tests. */
  readonly network: string | null
  /** A build is refused when the engine's disk has less. */
  readonly minFreeBytes?: number
  readonly logger: Logger
}

/** Builds with the engine's own builder: no cache ever, and limits that BuildKit does not have. */
export function makeBuilder(options: BuilderOptions): Builder {
  const { engine, network, logger, minFreeBytes = 1024 ** 3 } = options
  const own = makeBuildLabels(options.installation)
  const readHost = rememberHost(engine)
  const isFull = async (): Promise<boolean> => (await freeBytes((await readHost()).dataRoot)) < minFreeBytes

  async function build(request: BuildRequest, { onLine, room, signal }: BuildOptions): Promise<BuiltImage> {
    const { buildId } = request
    const { platform } = await readHost()
    const file = readDockerfile(request.dockerfile.text, { ...request, platform })
    if (file.needsBuildkit.length > 0 || request.builder === 'buildkit') throw buildkitError(file)
    if (file.syntax !== null) onLine('The # syntax line is not used: the engine’s own builder builds this image.')
    if (await isFull()) throw noSpaceError()
    // Git reads its first blocks while the engine is asked for the base images.
    const source = begin(request.openContext(signal))
    let labelling: Promise<LabelledBases> | null = null
    try {
      const bases = await prepareBases(engine, file, { pull: request.pull, onLine, signal })
      const labels = { ...request.labels, ...own.labelsOf(buildId, request.app) }
      const idOf = (image: ImageReference): string => idIn(bases, keyOf(image))
      const ids = file.stages.flatMap(({ from }) => (from.kind === 'image' ? [idOf(from.image)] : []))
      const labelled = labelBases(engine, { ids, labels }, logger)
      labelling = labelled
      const digest = await runEngineBuild(engine, {
        ...{ request, source, file, platform, network, onLine, room, isFull, signal },
        written: labelled.then((likenesses) => writeDockerfile(file, idOf, labels, likenesses)),
        tag: own.tagOf(buildId),
        onContainer: makeProcessLimit(engine, own.filterOf(buildId), logger),
      })
      const image = await readBuiltImage(engine, digest, labels)
      // A single stage leaves nothing but what the image stands on.
      if (file.stages.length > 1) await removeIntermediates(engine, own, buildId)
      return image
    } finally {
      source.destroy()
      // Of a build that is over nothing comes after it.
      await labelling
    }
  }

  async function cleanUp(buildId: number): Promise<void> {
    // Twice: the engine may have been about to make one more when it was told to stop.
    await removeBuildContainers(engine, own, buildId)
    await removeBuildContainers(engine, own, buildId)
    await removeIntermediates(engine, own, buildId)
  }

  async function discard(buildId: number): Promise<void> {
    await cleanUp(buildId)
    await removeBuiltImage(engine, own, own.tagOf(buildId))
  }

  return {
    async build(request, { onLine, room, isHeld, signal }) {
      const limit = new AbortController()
      const timer = setTimeout(() => limit.abort(timeLimitError(request.limits.timeoutMs)), request.limits.timeoutMs)
      const either = AbortSignal.any([limit.signal, signal])
      try {
        return await build(request, { onLine, ...(room === undefined ? {} : { room }), signal: either })
      } catch (error) {
        const failure = either.aborted ? reasonOf(either) : asSlipwayError(error)
        const tidy = async (): Promise<void> => {
          if ((await isHeld?.()) !== false) await discard(request.buildId)
        }
        await tidy().catch((cause: unknown) => {
          logger.warn('a failed build left something behind', { buildId: request.buildId, cause })
        })
        throw failure
      } finally {
        clearTimeout(timer)
      }
    },
    find: (buildId) => findBuiltImage(engine, own, buildId),
    has: async (digest) => (await inspectImage(engine, digest)) !== null,
    cleanUp,
    listTraces: () => listBuildTraces(engine, own),
    listLeftOver: () => listLeftOverBuilds(engine, own),
    discard,
    removeImage: (digest) => removeBuiltImage(engine, own, digest),
  }
}

/** An error before anybody reads comes up when somebody does. */
function begin(stream: Readable): Readable {
  stream.on('error', () => undefined).read(0)
  return stream
}

function reasonOf(signal: AbortSignal): SlipwayError {
  return signal.reason instanceof SlipwayError
    ? signal.reason
    : new SlipwayError('cancelled', 'The build was cancelled.', { cause: signal.reason })
}

function idIn(bases: BaseImages, key: string): string {
  const image = bases.get(key)
  if (image === undefined) throw new SlipwayError('internal', `The image ${key} was not looked up.`)
  return image.id
}
