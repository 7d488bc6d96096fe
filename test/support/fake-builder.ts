import { createHash } from 'node:crypto'
import type { Builder, BuildOptions, BuiltImage } from '../../src/builds/index.ts'
import { SlipwayError } from '../../src/kernel/errors.ts'

/** An engine in memory as far as builds need it. It outlives the servers that use it. */
export interface FakeBuilder extends Builder {
  /** What builds do; resolves when the image is made. */
  work: (buildId: number, options: BuildOptions) => Promise<void>
  /** When an image was made, before anybody hears of it. */
  onImage: () => Promise<void>
  /** Builds that were begun, in their order; one that starts over comes again. */
  readonly begun: number[]
  /** The build arguments of each build. */
  readonly args: Map<number, Readonly<Record<string, string>>>
  /** Builds of which something is there: a container while it runs, an image when it was made. */
  readonly containers: Set<number>
  readonly images: Map<number, BuiltImage>
}

export function makeFakeBuilder(work: FakeBuilder['work']): FakeBuilder {
  const images = new Map<number, BuiltImage>()
  const containers = new Set<number>()
  const begun: number[] = []
  const argsOf = new Map<number, Readonly<Record<string, string>>>()
  const builder: FakeBuilder = {
    work,
    onImage: async () => undefined,
    begun,
    args: argsOf,
    containers,
    images,
    async build({ buildId, args }, options) {
      argsOf.set(buildId, args)
      begun.push(buildId)
      containers.add(buildId)
      try {
        await untilAborted(options.signal, builder.work(buildId, options))
        images.set(buildId, imageOf(buildId))
        containers.delete(buildId)
        await builder.onImage()
        return imageOf(buildId)
      } catch (error) {
        if ((await options.isHeld?.()) !== false) await builder.discard(buildId)
        throw error
      }
    },
    find: async (buildId) => images.get(buildId) ?? null,
    has: async (digest) => [...images.values()].some((image) => image.digest === digest),
    cleanUp: async (buildId) => void containers.delete(buildId),
    listTraces: async () => [...new Set([...containers, ...images.keys()])],
    listLeftOver: async () => [],
    async discard(buildId) {
      containers.delete(buildId)
      images.delete(buildId)
    },
    async removeImage(digest) {
      for (const [id, image] of images) if (image.digest === digest) images.delete(id)
    },
  }
  return builder
}

const imageOf = (buildId: number): BuiltImage => ({
  digest: `sha256:${createHash('sha256').update(String(buildId)).digest('hex')}`,
  sizeBytes: 1_000_000,
  exposedPorts: [],
  healthcheck: null,
})

function untilAborted(signal: AbortSignal, work: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void =>
      reject(signal.reason instanceof SlipwayError ? signal.reason : new SlipwayError('cancelled', 'It was cancelled.'))
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    work.then(resolve, reject)
  })
}
