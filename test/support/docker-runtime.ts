import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeDockerRuntime, makeEngine, type DockerRuntime, type Engine } from '../../src/adapters/docker/index.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import type { AddressRange, InstanceSpec } from '../../src/runtime/index.ts'
import { ensureBaseImage } from './base-image.ts'
import { dockerOf } from './docker.ts'

export const testSocket = '/var/run/docker.sock'

export interface TestSite {
  readonly installation: string
  /** A range that no other test uses at the same time, with the odds of 1 to some thousands. */
  readonly network: string
}

/** A name and an address range of a test's own, for `SLIPWAY_INSTALLATION` and `SLIPWAY_NETWORK`. */
export function makeTestSite(): TestSite {
  const [a = 0, b = 0] = randomBytes(2)
  return {
    installation: `t${randomBytes(4).toString('hex')}`,
    network: `10.${128 + (a % 72)}.${b - (b % 8)}.0/21`,
  }
}

export interface TestRuntime {
  readonly runtime: DockerRuntime
  readonly dataDir: string
  readonly engine: Engine
  /** The same engine, asked directly. */
  readonly docker: ReturnType<typeof dockerOf>
  readonly site: TestSite
  readonly range: AddressRange
  /** Digest of a busybox image. */
  readonly image: string
  /** A spec of that image with an address of its own. */
  spec(fields?: Partial<InstanceSpec>): InstanceSpec
  /** Removes everything of the installation, whatever a failed test left. */
  dispose(): Promise<void>
}

export async function makeTestRuntime(
  options: { denyNetworks?: string[]; bind?: string; publicPorts?: number[] } = {},
): Promise<TestRuntime> {
  const site = makeTestSite()
  const engine = makeEngine({ socketPath: testSocket })
  const dataDir = await mkdtemp(join(tmpdir(), 'slipway-runtime-'))
  const runtime = makeDockerRuntime({
    engine,
    ...site,
    dataDir,
    denyNetworks: options.denyNetworks ?? [],
    bind: options.bind ?? '127.0.0.1',
    publicPorts: options.publicPorts ?? [],
    logger: silentLogger,
  })
  const docker = dockerOf(testSocket)
  const { Id: image } = await docker.getImage(await ensureBaseImage()).inspect()
  const range = await runtime.prepare()
  const base = range.subnet.split('/')[0]?.split('.').slice(0, 3).join('.') ?? ''
  let next = 10
  return {
    runtime,
    dataDir,
    engine,
    docker,
    site,
    range,
    image,
    spec(fields = {}) {
      next += 1
      return {
        name: `${site.installation}-${next}`,
        image,
        labels: { 'slipway.release': String(next), 'slipway.deploy': String(next) },
        env: {},
        address: `${base}.${next}`,
        limits: { memoryBytes: 64 * 1024 * 1024, cpus: 1, pids: 64 },
        ...fields,
      }
    },
    async dispose() {
      for (const { containerId } of await runtime.list()) await runtime.remove(containerId)
      await runtime.tearDown()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** An image of the base with another command; the caller removes it. */
export async function makeImage(
  test: TestRuntime,
  name: string,
  argv: readonly string[],
  changes: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const { docker } = test
  const container = await docker.createContainer({ Image: test.image, Entrypoint: [], Cmd: [...argv], ...changes })
  try {
    const repo = `${test.site.installation}/${name}`
    const { Id } = (await container.commit({ repo })) as { Id: string }
    return Id
  } finally {
    await container.remove({ force: true })
  }
}

export async function removeImage(test: TestRuntime, digest: string): Promise<void> {
  await test.docker.getImage(digest).remove({ force: true })
}
