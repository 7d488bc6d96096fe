import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { makeDockerRuntime, makeEngine, type DockerRuntime } from '../../src/adapters/docker/index.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import type { InstanceChange, InstanceSpec } from '../../src/runtime/index.ts'
import { dockerOf } from '../support/docker.ts'
import { startOwnEngine, type OwnEngine } from '../support/own-engine.ts'
import { until } from '../support/runtime-contract.ts'

const live = new AbortController().signal

describe('an engine that freezes or dies', () => {
  let own: OwnEngine
  let runtime: DockerRuntime
  let patient: DockerRuntime
  beforeAll(async () => {
    own = await startOwnEngine()
    const options = {
      installation: 'away',
      // Nothing is prepared, so nothing is written.
      dataDir: '/nowhere',
      network: '10.213.0.0/21',
      denyNetworks: [],
      bind: '127.0.0.1',
      publicPorts: [],
      logger: silentLogger,
    }
    const { socketPath } = own
    // Impatient, so that the test is short; a real one waits 10 s.
    runtime = makeDockerRuntime({ ...options, engine: makeEngine({ socketPath, timeoutMs: 700 }) })
    patient = makeDockerRuntime({ ...options, engine: makeEngine({ socketPath }) })
    // The engine has a network namespace of its own, so `prepare` would find its bridges missing here.
    const docker = dockerOf(socketPath)
    const { instances, builds } = patient.networks
    await docker.createNetwork({ Name: instances.name, IPAM: { Config: [{ Subnet: instances.subnet }] } })
    await docker.createNetwork({ Name: builds.name, IPAM: { Config: [{ Subnet: builds.subnet }] } })
  })
  afterAll(async () => {
    for (const { containerId } of await patient.list()) await patient.remove(containerId)
    await own.close()
  })

  let next = 0
  const spec = (command: string, address: string | null): InstanceSpec & { argv: string[] } => ({
    name: `away-${(next += 1)}`,
    image: own.image,
    labels: { 'slipway.release': String(next) },
    env: {},
    address,
    limits: { memoryBytes: 64 * 1024 * 1024, cpus: 1, pids: 64 },
    argv: ['/bin/sh', '-c', command],
  })

  it('is unknown when it is frozen: every call ends with an error in time', async () => {
    const { containerId } = await patient.start(spec('exec sleep 1000', '10.213.0.9'), live)
    own.freeze()
    try {
      const startedMs = performance.now()
      const calls: Promise<unknown>[] = [
        runtime.inspect(containerId),
        runtime.list(),
        runtime.logs(containerId, 10),
        runtime.listeners(containerId),
        runtime.keepRunning(containerId),
        runtime.stop(containerId, 0),
        runtime.remove(containerId),
        runtime.exec(containerId, ['true'], { timeoutMs: 500, signal: live }),
      ]
      const outcomes = await Promise.allSettled(calls)
      const codes = outcomes.map((one) =>
        one.status === 'rejected' ? (one.reason as { code: string }).code : 'answered',
      )
      expect(codes).toEqual(calls.map(() => 'timeout'))
      // Some ask twice; none waits for the thaw.
      expect(performance.now() - startedMs).toBeLessThan(20_000)
    } finally {
      own.thaw()
    }
    expect((await patient.inspect(containerId))?.state).toBe('running')
  })

  it('dies while a release command runs: the command goes on, no line is lost or told twice', async () => {
    const lines: string[] = []
    const running = patient.run(spec('for i in $(seq 1 40); do echo $i; sleep 0.1; done; exit 9', null), {
      onLine: (line) => lines.push(line),
      timeoutMs: 60_000,
      signal: live,
    })
    await until(() => lines.length > 5)
    await own.kill()
    await new Promise((resolve) => setTimeout(resolve, 500))
    await own.start()
    expect(await running).toEqual({ exitCode: 9, outOfMemory: false })
    expect(lines).toEqual(Array.from({ length: 40 }, (_, i) => String(i + 1)))
  })

  it('dies while it is watched: a resync when it is back, then its events', async () => {
    const changes: InstanceChange[] = []
    const ended = new AbortController()
    patient.watch((change) => changes.push(change), ended.signal)
    await until(() => changes.length === 1)
    const { containerId } = await patient.start(spec('exec sleep 1000', '10.213.0.10'), live)
    await patient.keepRunning(containerId)
    await own.kill()
    await own.start()
    await until(() => changes.filter(({ kind }) => kind === 'resync').length === 2)
    expect(await patient.inspect(containerId)).toMatchObject({ state: 'running', restarts: 0, address: '10.213.0.10' })
    await patient.stop(containerId, 0)
    await until(() => changes.some((change) => change.kind === 'died' && change.containerId === containerId))
    ended.abort()
  })

  it('is away: calls fail at once and say so', async () => {
    await own.kill()
    try {
      await expect(runtime.list()).rejects.toMatchObject({ code: 'unavailable' })
      await expect(runtime.start(spec('true', null), live)).rejects.toMatchObject({ code: 'unavailable' })
    } finally {
      await own.start()
    }
  })
})
