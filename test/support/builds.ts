import { execFile } from 'node:child_process'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { pack } from 'tar-stream'
import { makeBuilder } from '../../src/adapters/docker/builder.ts'
import { type Engine, makeEngine } from '../../src/adapters/docker/engine.ts'
import type { Builder, BuildRequest, BuiltImage } from '../../src/builds/index.ts'
import { SlipwayError } from '../../src/kernel/errors.ts'
import { silentLogger } from '../../src/kernel/logger.ts'

const run = promisify(execFile)

/** A builder of an installation of its own, and what tests want to ask about it. */
export interface TestBuilds {
  readonly builder: Builder
  readonly installation: string
  /** Builds what the files say; resolves with the image and what the build printed. */
  build(
    files: Readonly<Record<string, string>>,
    options?: Partial<BuildRequest> & { signal?: AbortSignal; onLine?: (line: string) => void },
  ): Promise<{ image: BuiltImage; lines: string[] }>
  /** Containers and images (intermediate ones too) that carry the installation's label. */
  traces(): Promise<string[]>
  removeAll(): Promise<void>
}

export function makeTestBuilds(
  installation: string,
  options: { minFreeBytes?: number; socketPath?: string; network?: string; loadsImages?: boolean } = {},
): TestBuilds {
  const real = makeEngine({ socketPath: options.socketPath ?? '/var/run/docker.sock' })
  const engine = options.loadsImages === false ? refusingLoads(real) : real
  const builder = makeBuilder({
    engine,
    installation,
    network: null,
    logger: silentLogger,
    minFreeBytes: 0,
    ...options,
  })
  let lastId = 0
  const label = `label=slipway.installation=${installation}`
  return {
    builder,
    installation,
    async build(files, { signal, onLine, ...request } = {}) {
      const lines: string[] = []
      const image = await builder.build(
        { ...defaultRequest(files), buildId: ++lastId, ...request },
        {
          signal: signal ?? new AbortController().signal,
          onLine: (line) => {
            lines.push(line)
            onLine?.(line)
          },
        },
      )
      return { image, lines }
    },
    traces: async () => [
      ...(await docker('ps', '-a', '--filter', label, '--format', 'container {{.ID}} {{.Command}}')),
      ...(await docker('images', '-a', '--filter', label, '--format', 'image {{.ID}} {{.Repository}}:{{.Tag}}')),
    ],
    async removeAll() {
      for (let round = 0; round < 3; round++) {
        const containers = await docker('ps', '-aq', '--filter', label)
        if (containers.length > 0) await run('docker', ['rm', '-fv', ...containers]).catch(() => undefined)
        const images = [...new Set(await docker('images', '-q', '--filter', label))]
        if (images.length > 0) await run('docker', ['rmi', '-f', ...images]).catch(() => undefined)
      }
    },
  }
}

/** An engine that loads no image without its layers. */
function refusingLoads(engine: Engine): Engine {
  return {
    ...engine,
    call: (what, work, limits) =>
      what === 'load a base image' ? Promise.reject(new Error('refused')) : engine.call(what, work, limits),
  }
}

function defaultRequest(files: Readonly<Record<string, string>>): Omit<BuildRequest, 'buildId'> {
  return {
    app: 'shop',
    labels: {},
    openContext: () => tarOf(files),
    ignore: files['.dockerignore'] ?? '',
    dockerfile: { path: 'Dockerfile', text: files['Dockerfile'] ?? '' },
    target: null,
    args: {},
    pull: 'always',
    limits: { memoryBytes: 128 * 1024 ** 2, cpus: 1, timeoutMs: 60_000 },
  }
}

export function tarOf(files: Readonly<Record<string, string>>): Readable {
  const archive = pack()
  for (const [name, content] of Object.entries(files)) archive.entry({ name }, content)
  archive.finalize()
  return Readable.from(archive)
}

/** Lines of what a docker command prints. */
export async function docker(...args: string[]): Promise<string[]> {
  const { stdout } = await run('docker', args, { maxBuffer: 64 * 1024 ** 2 })
  return stdout.split('\n').filter((line) => line !== '')
}

/** What a command prints in a container of the image, without network. */
export function runIn(digest: string, ...argv: string[]): Promise<string[]> {
  return docker('run', '--rm', '--network=none', digest, ...argv)
}

/** The error of a build that must not succeed. */
export async function failure(promise: Promise<unknown>): Promise<SlipwayError> {
  const error: unknown = await promise.then(
    () => new Error('it succeeded'),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof SlipwayError)) throw error
  return error
}
