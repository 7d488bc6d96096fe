import { randomBytes } from 'node:crypto'
import { statfs } from 'node:fs/promises'
import { pipeline } from 'node:stream'
import {
  type Builder,
  type BuildRequest,
  type BuiltImage,
  type Dockerfile,
  platformArgs,
  readDockerfile,
  readIgnoreRules,
  type WrittenDockerfile,
  writeDockerfile,
} from '../../builds/index.ts'
import { asSlipwayError, SlipwayError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import { type BaseImages, keyOf, prepareBases } from './base-images.ts'
import { buildkitError, dockerfileRefused, noSpaceError, stepError, timeLimitError } from './build-errors.ts'
import { makeBuildOutput } from './build-output.ts'
import { makeBuiltImages } from './built-images.ts'
import { filterContext } from './context.ts'
import { asEngineError, engineReason, type Engine } from './engine.ts'
import { readMessages } from './engine-messages.ts'
import { limitProcesses } from './limit-processes.ts'

export interface BuilderOptions {
  readonly engine: Engine
  readonly installation: string
  /** The network that build steps run on; null is the engine's default, for tests. */
  readonly network: string | null
  /** A build is refused when the engine's disk has less. */
  readonly minFreeBytes?: number
  readonly logger: Logger
}

type BuildOptions = Parameters<Builder['build']>[1]

/** Builds with the engine's own builder: no cache ever, and limits that BuildKit does not have. */
export function makeBuilder(options: BuilderOptions): Builder {
  const { engine, installation, logger } = options
  const images = makeBuiltImages(engine, installation)
  const readHost = rememberHost(engine)

  async function build(request: BuildRequest, { onLine, signal }: BuildOptions): Promise<BuiltImage> {
    const host = await readHost()
    const file = readDockerfile(request.dockerfile.text, { ...request, platform: host.platform })
    if (file.needsBuildkit.length > 0 || request.builder === 'buildkit') throw buildkitError(file)
    if (file.syntax !== null) onLine('The # syntax line is not used: the engine’s own builder builds this image.')
    await assertRoom(host.dataRoot, options.minFreeBytes ?? 1024 ** 3)
    const bases = await prepareBases(engine, file, { pull: request.pull, onLine, signal })
    const labels = { ...request.labels, ...images.labelsOf(request.buildId, request.app) }
    const written = writeDockerfile(file, (image) => idIn(bases, keyOf(image)), labels)
    const digest = await runBuild(request, { file, written, platform: host.platform }, { onLine, signal })
    const image = await images.read(digest, labels)
    // A single stage leaves nothing but what the image stands on.
    if (file.stages.length > 1) await images.removeIntermediates(request.buildId)
    return image
  }

  async function runBuild(
    request: BuildRequest,
    what: { file: Dockerfile; written: WrittenDockerfile; platform: string },
    { onLine, signal }: BuildOptions,
  ): Promise<string> {
    const { steps } = what.written
    const output = makeBuildOutput({
      steps,
      onLine,
      onContainer: () => limitProcesses(engine, { installation, buildId: request.buildId }, logger),
    })
    const context = openContext(request, what.written, signal)
    try {
      const stream = await engine.docker.buildImage(context.stream, {
        ...engineOptions(request, what, options.network),
        dockerfile: context.dockerfile,
        t: images.tagOf(request.buildId),
        abortSignal: signal,
      })
      let digest: string | null = null
      for await (const message of readMessages(stream)) {
        if (message.error !== undefined) {
          const noSpace = /no space left on device/i.test(message.error) || (output.sawNoSpace() && (await isFull()))
          output.end()
          throw stepError({ message: message.error, at: output.currentStep(), noSpace }, request.limits)
        }
        if (message.stream !== undefined) output.write(message.stream)
        digest = message.aux?.ID ?? digest
      }
      output.end()
      if (digest === null)
        throw new SlipwayError('unavailable', 'The Docker engine went away in the middle of the build.')
      return digest
    } catch (error) {
      throw failureOf(error, steps, signal)
    } finally {
      context.close()
    }
  }

  /** A command may also have filled a small file system of its own. */
  async function isFull(): Promise<boolean> {
    const { dataRoot } = await readHost()
    return (await freeBytes(dataRoot)) < (options.minFreeBytes ?? 1024 ** 3)
  }

  return {
    async build(request, { onLine, signal }) {
      const limit = new AbortController()
      const timer = setTimeout(() => limit.abort(timeLimitError(request.limits.timeoutMs)), request.limits.timeoutMs)
      const either = AbortSignal.any([limit.signal, signal])
      try {
        return await build(request, { onLine, signal: either })
      } catch (error) {
        const failure = either.aborted ? reasonOf(either) : asSlipwayError(error)
        await images.removeTraces(request.buildId, { finished: true }).catch((cause: unknown) => {
          logger.warn('a failed build left something behind', { buildId: request.buildId, cause })
        })
        throw failure
      } finally {
        clearTimeout(timer)
      }
    },
    find: (buildId) => images.find(buildId),
    cleanUp: (buildId) => images.removeTraces(buildId, { finished: false }),
    removeImage: (digest) => images.remove(digest),
  }
}

function engineOptions(
  request: BuildRequest,
  { file, platform }: { file: Dockerfile; platform: string },
  network: string | null,
): Record<string, unknown> {
  const { memoryBytes, cpus } = request.limits
  const known = platformArgs(platform)
  const asked = file.args.filter((name) => Object.hasOwn(known, name)).map((name) => [name, known[name] ?? ''])
  return {
    nocache: true,
    rm: true,
    forcerm: true,
    memory: memoryBytes,
    // The same as the memory: no swap.
    memswap: memoryBytes,
    cpuperiod: 100_000,
    cpuquota: Math.max(1000, Math.round(cpus * 100_000)),
    shmsize: 64 * 1024 ** 2,
    // Open files stay at the engine's own limit: a higher one than its own it cannot give.
    ulimits: JSON.stringify([{ Name: 'core', Soft: 0, Hard: 0 }]),
    buildargs: { ...Object.fromEntries(asked as [string, string][]), ...request.args },
    ...(network === null ? {} : { networkmode: network }),
  }
}

/**
 * The context with the Dockerfile as it was written anew, under a name that the app cannot have. The engine takes a
 * Dockerfile out of the context again when `.dockerignore` names it; it reads that file for nothing else.
 */
function openContext(
  request: BuildRequest,
  written: WrittenDockerfile,
  signal: AbortSignal,
): { stream: NodeJS.ReadableStream; dockerfile: string; close: () => void } {
  const dockerfile = `.slipway-dockerfile-${randomBytes(12).toString('hex')}`
  const filter = filterContext(readIgnoreRules(request.ignore), (dockerignore) => [
    {
      name: '.dockerignore',
      text:
        dockerignore === null ? `.dockerignore\n${dockerfile}\n` : `${dockerignore}\n!.dockerignore\n${dockerfile}\n`,
    },
    { name: dockerfile, text: written.text },
  ])
  const source = request.openContext(signal)
  // Errors of either reach the request through the filter, which the pipeline destroys.
  pipeline(source, filter, () => undefined)
  return {
    stream: filter,
    dockerfile,
    close: () => {
      source.destroy()
      filter.destroy()
    },
  }
}

function failureOf(error: unknown, steps: WrittenDockerfile['steps'], signal: AbortSignal): Error {
  if (signal.aborted) return reasonOf(signal)
  if (error instanceof SlipwayError) return error
  const reason = engineReason(error)
  if (/no space left on device/i.test(reason)) return noSpaceError(error)
  if (reason !== '') return dockerfileRefused(reason, steps)
  const mapped = asEngineError(error, 'build')
  if (mapped instanceof SlipwayError && mapped.code === 'unavailable') {
    return new SlipwayError('unavailable', 'The Docker engine went away in the middle of the build.', { cause: error })
  }
  return mapped
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

interface Host {
  readonly platform: string
  readonly dataRoot: string
}

/** Facts that do not change while the engine lives; asked again after a failure. */
function rememberHost(engine: Engine): () => Promise<Host> {
  let known: Promise<Host> | null = null
  const ask = async (): Promise<Host> => {
    const [version, info] = await Promise.all([
      engine.call('version', (docker) => docker.version()),
      engine.call('info', (docker) => docker.info() as Promise<{ DockerRootDir: string }>),
    ])
    return { platform: `${version.Os}/${version.Arch}`, dataRoot: info.DockerRootDir }
  }
  return async () => {
    known ??= ask()
    try {
      return await known
    } catch (error) {
      known = null
      throw error
    }
  }
}

async function assertRoom(dataRoot: string, floor: number): Promise<void> {
  if ((await freeBytes(dataRoot)) < floor) throw noSpaceError()
}

/** Infinity when the folder is not on this machine, or not to be seen. */
async function freeBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder)
    return bavail * bsize
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
