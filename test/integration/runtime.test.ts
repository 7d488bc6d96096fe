import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { makeEngine } from '../../src/adapters/docker/index.ts'
import { planNetworks } from '../../src/adapters/docker/network-plan.ts'
import { prepareNetworks, removeNetworks } from '../../src/adapters/docker/networks.ts'
import { SlipwayError } from '../../src/kernel/errors.ts'
import { Secret } from '../../src/kernel/secret.ts'
import type { InstanceSpec } from '../../src/runtime/index.ts'
import {
  makeImage,
  makeTestRuntime,
  makeTestSite,
  removeImage,
  testSocket,
  type TestRuntime,
} from '../support/docker-runtime.ts'
import { describeRuntime } from '../support/runtime-contract.ts'

const live = new AbortController().signal
const shell = (command: string): string[] => ['/bin/sh', '-c', command]

/** Images with a command that this file needs; removed at the end. */
async function withImages() {
  const test = await makeTestRuntime()
  const made: string[] = []
  return {
    test,
    async image(command: string, changes?: Record<string, unknown>): Promise<string> {
      const digest = await makeImage(test, `i${made.length}`, shell(command), changes)
      made.push(digest)
      return digest
    },
    async dispose(): Promise<void> {
      await test.dispose()
      for (const digest of made) await removeImage(test, digest)
    },
  }
}

describeRuntime('Docker', async () => {
  const images = await withImages()
  const { test } = images
  const idle = await images.image('exec sleep 1000')
  const foreign: { remove(options: object): Promise<unknown> }[] = []
  return {
    runtime: test.runtime,
    spec: (fields) => test.spec({ image: idle, ...fields }),
    async addForeign(name) {
      const { docker } = test
      const container = await docker.createContainer({ name, Image: test.image, Cmd: ['sleep', '1000'] })
      foreign.push(container)
      await container.start()
    },
    async foreignIsUntouched(name) {
      return (await test.docker.getContainer(name).inspect()).State.Running
    },
    async dispose() {
      for (const container of foreign) await container.remove({ force: true })
      await images.dispose()
    },
  }
})

describe('a container of Slipway at the engine', () => {
  let images: Awaited<ReturnType<typeof withImages>>
  let test: TestRuntime
  let idle: string
  beforeAll(async () => {
    images = await withImages()
    test = images.test
    idle = await images.image('exec sleep 1000')
  })
  afterAll(() => images.dispose())

  async function start(fields: Partial<InstanceSpec> = {}) {
    const instance = await test.runtime.start(test.spec({ image: idle, ...fields }), live)
    const sh = async (command: string): Promise<string[]> =>
      (await test.runtime.exec(instance.containerId, shell(command), { timeoutMs: 10_000, signal: live })).output
    return { ...instance, sh }
  }

  it('has few capabilities, no new privileges, and limits', async () => {
    const { containerId, sh } = await start()
    const status = Object.fromEntries(
      (await sh('cat /proc/1/status')).map((line) => line.split(/:\s+/)).map(([k = '', v = '']) => [k, v]),
    )
    // CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE
    expect(status['CapEff']).toBe('00000000000005fb')
    expect(status['CapBnd']).toBe('00000000000005fb')
    expect(status['NoNewPrivs']).toBe('1')
    expect(status['Seccomp']).toBe('2')
    const { HostConfig, Config, Mounts } = await test.docker.getContainer(containerId).inspect()
    expect(HostConfig).toMatchObject({
      Memory: 64 * 1024 * 1024,
      MemorySwap: 64 * 1024 * 1024,
      NanoCpus: 1e9,
      PidsLimit: 64,
      Privileged: false,
      Binds: null,
      Devices: null,
      PortBindings: null,
      PidMode: '',
      IpcMode: 'private',
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } },
    })
    expect(Config.Labels['slipway.installation']).toBe(test.site.installation)
    expect(Mounts).toEqual([])
    expect(
      await sh('ping -c 1 -W 1 127.0.0.1 >/dev/null 2>&1; id -u; ls -l /var/run/docker.sock 2>&1 | tail -1'),
    ).toContain('0')
  })

  it('gets its variables as they are', async () => {
    const value = 'a "quoted" \'one\'\nwith $HOME, `ticks` and ü'
    const { sh } = await start({ env: { PLAIN: value, HIDDEN: new Secret('s3cret'), EMPTY: '' } })
    expect(await sh('printf "%s|%s|%s" "$PLAIN" "$HIDDEN" "${EMPTY-unset}"')).toEqual([
      'a "quoted" \'one\'',
      'with $HOME, `ticks` and ü|s3cret|',
    ])
  })

  it('has an init of its own only where the image does not bring one', async () => {
    const { containerId } = await start()
    const { HostConfig } = await test.docker.getContainer(containerId).inspect()
    expect(HostConfig.Init).toBe(true)
    const own = await images.image('exec /init', {})
    const with_ = await test.runtime.start(test.spec({ image: own }), live)
    const info = await test.docker.getContainer(with_.containerId).inspect()
    expect(info.HostConfig.Init).toBe(false)
  })

  it('stays as it ended until it is to be kept running, and comes back then', async () => {
    const ends = await images.image('sleep 0.2; exit 5')
    const before = await start({ image: ends })
    await eventually(async () => (await test.runtime.inspect(before.containerId))?.state === 'exited')
    expect(await test.runtime.inspect(before.containerId)).toMatchObject({ exitCode: 5, restarts: 0 })

    const lives = await start()
    await test.runtime.keepRunning(lives.containerId)
    await test.runtime.keepRunning(lives.containerId)
    // As the kernel would for want of memory: its first process, from outside.
    process.kill((await test.docker.getContainer(lives.containerId).inspect()).State.Pid, 'SIGKILL')
    await eventually(async () => {
      const now = await test.runtime.inspect(lives.containerId)
      return now?.state === 'running' && now.restarts > 0
    })
    await test.runtime.stop(lives.containerId, 1000)
    // The engine would bring it back after 100 to 200 ms.
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect((await test.runtime.inspect(lives.containerId))?.state).toBe('exited')
  })

  it('is not brought back when it is let end, also when the engine is about to', async () => {
    const ends = await images.image('sleep 0.1; exit 5')
    const { containerId } = await start({ image: ends })
    await test.runtime.keepRunning(containerId)
    // It had ended by then, or goes on until it does.
    await test.docker
      .getContainer(containerId)
      .start()
      .catch((error: { statusCode?: number }) => {
        if (error.statusCode !== 304) throw error
      })
    // The engine waits longer from time to time.
    await eventually(async () => ((await test.runtime.inspect(containerId))?.restarts ?? 0) >= 4)
    await eventually(async () => (await test.runtime.inspect(containerId))?.state === 'restarting')
    await test.runtime.letEnd(containerId)
    const ended = await test.runtime.inspect(containerId)
    expect(ended).toMatchObject({ state: 'exited', isKept: false })
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    expect(await test.runtime.inspect(containerId)).toEqual(ended)
  })

  it('is made anew when it had not run yet and a value was taken out of its variables since', async () => {
    const spec = test.spec({ image: idle, env: { KEY: 'leaked' } })
    const own = { 'slipway.kind': 'instance', 'slipway.installation': test.site.installation }
    // As a server leaves it that ends between the two calls.
    await test.docker.createContainer({
      ...{ name: spec.name, Image: spec.image, Env: ['KEY=leaked'], Labels: { ...own, ...spec.labels } },
    })
    const labels = { ...spec.labels, 'slipway.variables': '2' }
    const started = await test.runtime.start({ ...spec, labels, env: { KEY: 'new' } }, live)
    const { output } = await test.runtime.exec(started.containerId, shell('echo $KEY'), {
      timeoutMs: 5_000,
      signal: live,
    })
    expect(output).toEqual(['new'])
    // One that runs is what it is.
    const later = { ...spec, labels: { ...labels, 'slipway.variables': '3' } }
    expect((await test.runtime.start(later, live)).containerId).toBe(started.containerId)
  })

  it('is gone when its start, that was broken off, is said to have ended: an engine does not stop in the middle', async () => {
    const over = new AbortController()
    const found: (string | undefined)[] = []
    const spec = test.spec({ image: idle })
    const startUnlessRefused = async (start: () => Promise<void>): Promise<null> => {
      const started = start()
      setTimeout(() => over.abort(new SlipwayError('cancelled', 'Not needed any more.')), 10)
      await started.catch(() => undefined)
      found.push((await test.docker.listContainers({ all: true, filters: { name: [spec.name] } }))[0]?.State)
      return started.then(() => null)
    }
    await expect(test.runtime.start({ ...spec, startUnlessRefused }, over.signal)).rejects.toMatchObject({
      code: 'cancelled',
    })
    expect(found).toEqual([undefined])
  })

  it('says when it was killed for memory', async () => {
    const spec = { ...test.spec({ image: idle, address: null }), argv: shell('exec tail /dev/zero') }
    const small = { ...spec, limits: { ...spec.limits, memoryBytes: 16 * 1024 * 1024 } }
    const exit = await test.runtime.run(small, { onLine: () => {}, timeoutMs: 30_000, signal: live })
    expect(exit).toEqual({ exitCode: 137, outOfMemory: true })
  })

  it.each([
    ['a program that is not there', { Entrypoint: ['/no/such/init'] }, 'The image’s command cannot be started.'],
    ['a user that is not there', { User: 'nobodyhere' }, 'The user named in the Dockerfile is not in the image.'],
  ])('cannot start: %s', async (_, changes, message) => {
    const bad = await images.image('true', changes)
    const spec = test.spec({ image: bad })
    await expect(test.runtime.start(spec, live)).rejects.toMatchObject({ code: 'start_failed', message })
    expect((await test.runtime.list()).map(({ name }) => name)).not.toContain(spec.name)
  })

  it('cannot start: an image that is gone, a limit that is too small', async () => {
    const gone = test.spec({ image: `sha256:${'0'.repeat(64)}` })
    await expect(test.runtime.start(gone, live)).rejects.toMatchObject({
      code: 'start_failed',
      message: 'The image of this build is not on the host any more.',
    })
    const small = test.spec({ image: idle, limits: { memoryBytes: 1024 * 1024, cpus: 1, pids: 10 } })
    await expect(test.runtime.start(small, live)).rejects.toMatchObject({ code: 'start_failed' })
  })

  it('is not stopped or removed when it is another’s', async () => {
    const { docker } = test
    const container = await docker.createContainer({ Image: test.image, Cmd: ['sleep', '1000'] })
    try {
      await container.start()
      await expect(test.runtime.stop(container.id, 0)).rejects.toMatchObject({ code: 'conflict' })
      await expect(test.runtime.remove(container.id)).rejects.toMatchObject({ code: 'conflict' })
      expect((await container.inspect()).State.Running).toBe(true)
    } finally {
      await container.remove({ force: true })
    }
  })

  it('shows its last lines of both streams in order, and the output of a command is cut', async () => {
    const chatty = await images.image('for i in 1 2 3 4 5; do echo out $i; done; echo err >&2; echo last; sleep 1000')
    const { containerId } = await start({ image: chatty })
    await eventually(async () => {
      const lines = await test.runtime.logs(containerId, 100)
      return lines.includes('last') && lines.includes('err')
    })
    const lines = await test.runtime.logs(containerId, 100)
    // The engine reads the two streams apart: only each has an order of its own.
    expect(lines.filter((line) => line !== 'err')).toEqual([...[1, 2, 3, 4, 5].map((i) => `out ${i}`), 'last'])
    expect(lines).toContain('err')
    expect(await test.runtime.logs(containerId, 2)).toHaveLength(2)
    const much = await test.runtime.exec(containerId, shell('yes | head -c 200000'), {
      timeoutMs: 10_000,
      signal: live,
    })
    expect(much.output.at(-1)).toBe('… (output cut at 64 KiB)')
    expect(much.output.join('\n').length).toBeLessThan(66_000)
  })
})

describe('the networks', () => {
  it('are found again', async () => {
    const test = await makeTestRuntime()
    try {
      expect(await test.runtime.prepare()).toEqual(test.range)
      const { docker } = test
      const { instances } = test.runtime.networks
      const info = (await docker.getNetwork(instances.name).inspect()) as { EnableIPv6: boolean; Options: object }
      expect(info.EnableIPv6).toBe(false)
      expect(info.Options).toMatchObject({ 'com.docker.network.bridge.enable_icc': 'false' })
    } finally {
      await test.dispose()
    }
  })

  it('are refused to a second data folder that was given the same name: it would end the sites of the first', async () => {
    const engine = makeEngine({ socketPath: testSocket })
    const { installation, network } = makeTestSite()
    const plan = planNetworks(installation, network)
    try {
      await prepareNetworks(engine, { installation, owner: 'first' }, plan)
      await prepareNetworks(engine, { installation, owner: 'first' }, plan)
      await expect(prepareNetworks(engine, { installation, owner: 'second' }, plan)).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringContaining('another data folder'),
      })
    } finally {
      await removeNetworks(engine, installation, plan)
    }
  })
})

async function eventually(isTrue: () => Promise<boolean>, withinMs = 30_000): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await isTrue())) {
    if (performance.now() > deadline) throw new Error('it did not happen in time')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
