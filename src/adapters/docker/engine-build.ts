import { randomBytes } from 'node:crypto'
import { pipeline, type Readable } from 'node:stream'
import {
  type BuildRequest,
  type Dockerfile,
  platformArgs,
  readIgnoreRules,
  type WrittenDockerfile,
  type WrittenStep,
} from '../../builds/index.ts'
import { dockerfileRefused, engineGoneError, noSpaceError, stepError } from './build-errors.ts'
import { makeBuildOutput } from './build-output.ts'
import { filterContext } from './context.ts'
import { asEngineError, type Engine, engineReason, isEngineGone } from './engine.ts'
import { readMessages } from './engine-messages.ts'

export interface EngineBuild {
  readonly request: BuildRequest
  /** The files of the commit, as a tar stream; ended with the build. */
  readonly source: Readable
  readonly file: Dockerfile
  /** May come while the engine takes in the files; the engine waits for it. */
  readonly written: Promise<WrittenDockerfile>
  readonly platform: string
  readonly network: string | null
  readonly tag: string
  readonly onLine: (line: string) => void
  readonly room: (() => Promise<void>) | undefined
  /** A step's container is about to start. */
  readonly onContainer: () => void
  /** Whether the engine's disk is full, asked when a step says so. */
  readonly isFull: () => Promise<boolean>
  readonly signal: AbortSignal
}

/** One build by the engine's own builder, from the context to the digest of the image. */
export async function runEngineBuild(engine: Engine, build: EngineBuild): Promise<string> {
  const { request, signal } = build
  const context = openContext(build)
  // Who needs it hears of its failure.
  build.written.catch(() => undefined)
  try {
    const how = { ...engineOptions(build), dockerfile: context.dockerfile }
    // It answers when it has taken in all files; whoever builds ends that with the build's time.
    const timeoutMs = request.limits.timeoutMs
    const stream = await engine.call('build', (docker) => docker.buildImage(context.stream, how), { timeoutMs, signal })
    const { steps } = await build.written
    const output = makeBuildOutput({ steps, onLine: build.onLine, onContainer: build.onContainer })
    let digest: string | null = null
    for await (const message of readMessages(stream)) {
      if (message.error !== undefined) {
        const noSpace = isNoSpace(message.error) || (output.sawNoSpace() && (await build.isFull()))
        output.end()
        throw stepError({ message: message.error, at: output.currentStep(), noSpace }, request.limits)
      }
      if (message.stream !== undefined) output.write(message.stream)
      digest = message.aux?.ID ?? digest
      await build.room?.()
    }
    output.end()
    if (digest === null) throw engineGoneError()
    return digest
  } catch (error) {
    signal.throwIfAborted()
    throw failureOf(error, (await build.written).steps)
  } finally {
    context.close()
  }
}

function engineOptions({ request, file, platform, network, tag }: EngineBuild): Record<string, unknown> {
  const { memoryBytes, cpus } = request.limits
  const known = platformArgs(platform)
  const asked = file.args.filter((name) => Object.hasOwn(known, name)).map((name) => [name, known[name]])
  return {
    t: tag,
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
    buildargs: { ...(Object.fromEntries(asked) as Record<string, string>), ...request.args },
    ...(network === null ? {} : { networkmode: network }),
  }
}

/**
 * The context with the Dockerfile as it was written anew, under a name that the app cannot have. The engine takes a
 * Dockerfile out of the context again when `.dockerignore` names it; it reads that file for nothing else.
 */
function openContext({ request, source, written }: EngineBuild): {
  stream: NodeJS.ReadableStream
  dockerfile: string
  close: () => void
} {
  const dockerfile = `.slipway-dockerfile-${randomBytes(12).toString('hex')}`
  const filter = filterContext(readIgnoreRules(request.ignore), async (own) => [
    {
      name: '.dockerignore',
      text: own === null ? `.dockerignore\n${dockerfile}\n` : `${own}\n!.dockerignore\n${dockerfile}\n`,
    },
    { name: dockerfile, text: (await written).text },
  ])
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

function failureOf(error: unknown, steps: readonly WrittenStep[]): Error {
  const reason = engineReason(error)
  if (isNoSpace(reason)) return noSpaceError(error)
  if (reason !== '') return dockerfileRefused(reason, steps)
  return isEngineGone(error) ? engineGoneError(error) : asEngineError(error, 'build')
}

const isNoSpace = (text: string): boolean => /no space left on device/i.test(text)
