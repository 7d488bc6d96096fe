import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { SlipwayError } from '../../src/kernel/errors.ts'
import { ensureBaseImage } from '../support/base-image.ts'
import { openDoor } from '../support/door.ts'
import { docker, failure, makeTestBuilds, runIn, type TestBuilds } from '../support/builds.ts'

let base = ''
const builds: TestBuilds = makeTestBuilds(`tb${process.pid}`)
const { builder } = builds
const build: TestBuilds['build'] = (files, options) => builds.build(files, options)

beforeAll(async () => {
  base = await ensureBaseImage()
})
afterAll(() => builds.removeAll())

describe('a build', () => {
  it('makes an image that is known by its digest and labels', async () => {
    const { image, lines } = await build(
      {
        Dockerfile: `FROM ${base}\nARG WHO\nRUN echo hello $WHO\nCOPY . /app\nEXPOSE 9000/udp 8001 8000\nHEALTHCHECK --timeout=3s CMD ["true", "x y"]\n`,
        'a b.txt': 'A',
      },
      { buildId: 4711, args: { WHO: 'you' }, labels: { 'slipway.deploy': '12' } },
    )
    expect(lines).toEqual([
      `Step 1/6 : FROM ${base}`,
      'Step 2/6 : ARG WHO',
      'Step 3/6 : RUN echo hello $WHO',
      'hello you',
      'Step 4/6 : COPY . /app',
      'Step 5/6 : EXPOSE 9000/udp 8001 8000',
      'Step 6/6 : HEALTHCHECK --timeout=3s CMD ["true", "x y"]',
    ])
    expect(image).toEqual({
      digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      sizeBytes: expect.any(Number),
      exposedPorts: [8000, 8001],
      healthcheck: { argv: ['true', 'x y'], timeoutMs: 3000 },
    })
    const [labels = ''] = await docker('image', 'inspect', '--format', '{{json .Config.Labels}}', image.digest)
    expect(JSON.parse(labels)).toEqual({
      'slipway.installation': builds.installation,
      'slipway.app': 'shop',
      'slipway.build': '4711',
      'slipway.base': expect.stringMatching(/^sha256:/),
      'slipway.deploy': '12',
      'slipway.kind': 'build',
    })
    // The labels cost no step.
    expect(await docker('history', '--format', '{{.CreatedBy}}', image.digest)).toHaveLength(6)
    expect(await runIn(image.digest, 'ls', '-A', '/app')).toEqual(['Dockerfile', 'a b.txt'])
    expect(await builder.find(4711)).toEqual(image)
    expect(await builder.find(4712)).toBeNull()

    await builder.cleanUp(4711)
    expect(await builder.find(4711)).toEqual(image)
    await builder.removeImage(image.digest)
    await builder.removeImage(image.digest)
    expect(await builds.traces()).toEqual([])
  })

  it('has its labels from a step where the engine loads no image for them', async () => {
    const other = makeTestBuilds(builds.installation, { loadsImages: false })
    const Dockerfile = `FROM ${base}\nRUN echo one\nFROM ${base}\nRUN echo two\n`
    const { image, lines } = await other.build({ Dockerfile }, { buildId: 4713 })
    expect(lines).toEqual([
      `Step 1/4 : FROM ${base}`,
      ...['Step 2/4 : RUN echo one', 'one', `Step 3/4 : FROM ${base}`, 'Step 4/4 : RUN echo two', 'two'],
    ])
    expect(await docker('history', '--format', '{{.CreatedBy}}', image.digest)).toContainEqual(
      expect.stringContaining('LABEL slipway.'),
    )
    expect(await builder.find(4713)).toEqual(image)
    await builder.removeImage(image.digest)
    expect(await builds.traces()).toEqual([])
  })

  it('uses no cache, ever', async () => {
    const files = { Dockerfile: `FROM ${base}\nRUN cat /proc/sys/kernel/random/uuid | tee /id\n` }
    const [one, two] = [await build(files), await build(files)]
    expect(await runIn(one.image.digest, 'cat', '/id')).not.toEqual(await runIn(two.image.digest, 'cat', '/id'))
    expect(one.lines).toHaveLength(3)
    expect(two.lines).toHaveLength(3)
    expect(one.lines.at(-1)).not.toEqual(two.lines.at(-1))
    for (const { image } of [one, two]) await builder.removeImage(image.digest)
    expect(await builds.traces()).toEqual([])
  })

  it('obeys .dockerignore, and gives the image the files as they are', async () => {
    const dockerfile = `FROM ${base}\nCOPY . /app\n`
    const { image } = await build({
      Dockerfile: dockerfile,
      '.dockerignore': '*\n!src\nsrc/secret.txt\n!.dockerignore\n!Dockerfile',
      'secret.txt': 'S',
      'src/secret.txt': 'S',
      'src/main.py': 'print()',
    })
    expect((await runIn(image.digest, 'find', '/app', '-type', 'f')).sort()).toEqual([
      '/app/.dockerignore',
      '/app/Dockerfile',
      '/app/src/main.py',
    ])
    expect(await runIn(image.digest, 'cat', '/app/Dockerfile')).toEqual([`FROM ${base}`, 'COPY . /app'])
    await builder.removeImage(image.digest)

    const without = await build({ Dockerfile: dockerfile, '.dockerignore': '.dockerignore\nDockerfile', a: 'A' })
    expect(await runIn(without.image.digest, 'ls', '-A', '/app')).toEqual(['a'])
    await builder.removeImage(without.image.digest)
  })

  it('keeps stages apart and leaves nothing of them', async () => {
    const { image, lines } = await build(
      {
        Dockerfile: `ARG B=${base}\nFROM $B AS one\nRUN echo one > /one\nFROM ${base} AS two\nCOPY --from=one /one /copied\nFROM two AS web\nCOPY --from=0 /one /again\nFROM ${base}\nRUN exit 9`,
      },
      { target: 'web' },
    )
    expect(lines.filter((line) => line.startsWith('Step'))).toHaveLength(7)
    expect(await runIn(image.digest, 'cat', '/copied', '/again')).toEqual(['one', 'one'])
    await builder.removeImage(image.digest)
    expect(await builds.traces()).toEqual([])
  })

  it('has what BuildKit knows of the platform', async () => {
    const { image, lines } = await build({
      Dockerfile: `FROM --platform=$BUILDPLATFORM ${base}\nARG TARGETARCH TARGETOS\nRUN echo $TARGETOS/$TARGETARCH`,
    })
    expect(lines.at(-1)).toBe(`linux/${process.arch === 'x64' ? 'amd64' : process.arch}`)
    await builder.removeImage(image.digest)
  })

  it('gives its steps limits: memory, no swap, processes, shared memory', async () => {
    const { lines, image } = await build({
      Dockerfile: `FROM ${base}\nRUN for i in $(seq 100); do grep -qs 4096 /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max && break; sleep 0.1; done; cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max pids/pids.max pids.max cpu/cpu.cfs_quota_us 2>/dev/null; df -m /dev/shm | tail -n1 | awk '{print "shm " $2}'; true`,
    })
    expect(lines).toEqual(expect.arrayContaining([String(128 * 1024 ** 2), '4096', 'shm 64']))
    await builder.removeImage(image.digest)
  })

  it('runs its steps on the network that it is given', async () => {
    const apart = makeTestBuilds(builds.installation, { network: 'none' })
    const { image, lines } = await apart.build({ Dockerfile: `FROM ${base}\nRUN ls /sys/class/net` }, { buildId: 77 })
    expect(lines.at(-1)).toBe('lo')
    expect(lines.at(-2)).toMatch(/^Step 2/)
    await builder.removeImage(image.digest)
  })

  // The engine reads both outputs apart: what comes at the same time may stand in the middle of the other’s line.
  it('passes output on as it comes: escapes, half lines, very long lines', async () => {
    const { lines, image } = await build({
      Dockerfile: `FROM ${base}\nRUN printf 'a\\033]0;title\\007b\\n'; printf 'err\\n' >&2; sleep 0.5; printf 'bar 1\\rbar 2\\n'; head -c 1000000 /dev/zero | tr '\\0' x; echo; printf 'no end'\nRUN printf 'Step 3/3 : LABEL x\\n ---> Running in 0123456789ab\\nafter\\n'`,
    })
    expect(lines).toEqual(expect.arrayContaining(['a\u001b]0;title\u0007b', 'err', 'bar 2', 'no end', 'after']))
    // Given out in pieces; nothing is lost, and the engine's pieces are at most 32 KiB.
    expect(lines.join('').replace(/[^x]/g, '').length).toBeGreaterThanOrEqual(1_000_000)
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(40 * 1024)
    await builder.removeImage(image.digest)
  })
})

describe('a build that fails says why', () => {
  afterEach(async () => {
    expect(await builds.traces()).toEqual([])
  })

  it.each<[string, Record<string, string>, string, RegExp]>([
    [
      'a failing step',
      { Dockerfile: 'FROM BASE\nRUN true\nRUN echo broken; exit 3' },
      'build_failed',
      /step 3\/3 \(RUN echo broken; exit 3\) ended with exit code 3\.$/,
    ],
    [
      'a file that is not there',
      { Dockerfile: 'FROM BASE\nCOPY nothing.py /' },
      'build_failed',
      /step 2\/2 \(COPY nothing.py \/\): .*nothing.py/,
    ],
    [
      'a file that is ignored',
      { Dockerfile: 'FROM BASE\nCOPY a /', a: '', '.dockerignore': 'a' },
      'build_failed',
      /step 2\/2 \(COPY a \/\)/,
    ],
    ['an unknown instruction', { Dockerfile: 'FROM BASE\n\nFOO' }, 'build_failed', /line 3: unknown instruction FOO/],
    [
      'an instruction that the engine refuses',
      { Dockerfile: 'FROM BASE\n\n# x\n\nCOPY onlyone' },
      'build_failed',
      /^The Dockerfile cannot be used: .*line 5.*COPY/,
    ],
    [
      'an instruction with a wrong value',
      { Dockerfile: 'FROM BASE\nRUN true\nEXPOSE nonsense' },
      'build_failed',
      /step 3\/3 \(EXPOSE nonsense\)/,
    ],
    ['an empty Dockerfile', { Dockerfile: '' }, 'build_failed', /there is no FROM/],
    [
      'BuildKit',
      { Dockerfile: 'FROM BASE\nRUN --mount=type=cache,target=/x true' },
      'build_failed',
      /needs BuildKit.*line 2 has RUN --mount/,
    ],
    [
      'too little memory',
      { Dockerfile: 'FROM BASE\nRUN dd if=/dev/zero of=/dev/null bs=300M count=1' },
      'build_failed',
      /step 2\/2 .* was killed \(exit code 137\); builds have 128 MB of memory/,
    ],
    [
      'its own labels',
      { Dockerfile: 'FROM BASE\nLABEL slipway.app=other' },
      'build_failed',
      /labels that begin with slipway/,
    ],
    ['bad ignore rules', { Dockerfile: 'FROM BASE', '.dockerignore': 'a\n[' }, 'build_failed', /line 2: a \[ without/],
  ])('%s', async (_, files, code, message) => {
    const withBase = { ...files, Dockerfile: (files['Dockerfile'] ?? '').replaceAll('BASE', base) }
    const error = await failure(build(withBase))
    expect(error.message).toMatch(message)
    expect(error.code).toBe(code)
  })

  it('too little disk before it begins', async () => {
    const full = makeTestBuilds(builds.installation, { minFreeBytes: Number.MAX_SAFE_INTEGER })
    const error = await failure(full.build({ Dockerfile: `FROM ${base}` }))
    expect([error.code, error.message]).toEqual(['unavailable', 'There is no room left on the host for this build.'])
  })

  it('a step that fills a small file system of its own is not a full host', async () => {
    const error = await failure(
      build({ Dockerfile: `FROM ${base}\nRUN dd if=/dev/zero of=/dev/shm/x bs=1M count=100` }),
    )
    expect([error.code, error.message]).toEqual(['build_failed', expect.stringContaining('exit code 1')])
  })

  it('the time limit', async () => {
    const limits = { memoryBytes: 128 * 1024 ** 2, cpus: 1, timeoutMs: 1500 }
    const error = await failure(build({ Dockerfile: `FROM ${base}\nRUN sleep 60` }, { limits }))
    expect([error.code, error.message]).toEqual([
      'timeout',
      'The build took longer than its limit of 1.5 s and was stopped.',
    ])
  })

  it('files that cannot be read', async () => {
    const broken = (): Readable =>
      new Readable({
        read() {
          this.destroy(new SlipwayError('internal', 'git archive ended with 128.'))
        },
      })
    const error = await failure(build({ Dockerfile: `FROM ${base}` }, { openContext: broken }))
    expect(error.message).toBe('git archive ended with 128.')
  })

  it('files that stop half-way', async () => {
    const half = (): Readable => Readable.from([Buffer.alloc(100, 'x')])
    expect((await failure(build({ Dockerfile: `FROM ${base}` }, { openContext: half }))).message).toMatch(
      /ended in the middle/,
    )
  })

  it('an engine that is not there', async () => {
    const lost = makeTestBuilds(builds.installation, { socketPath: '/nonexistent/docker.sock' })
    const error = await failure(lost.build({ Dockerfile: `FROM ${base}` }))
    expect(error.code).toBe('unavailable')
    await expect(lost.builder.find(1)).rejects.toMatchObject({ code: 'unavailable' })
  })
})

describe('an engine that goes away', () => {
  it('in the middle of a build is told so', async () => {
    const door = await openDoor('/var/run/docker.sock')
    const behind = makeTestBuilds(builds.installation, { socketPath: door.path })
    const onLine = (line: string): void => void (line === 'started' && door.slam())
    const error = await failure(
      behind.build({ Dockerfile: `FROM ${base}\nRUN echo started; sleep 20` }, { buildId: 88, onLine }),
    )
    expect([error.code, error.message]).toEqual([
      'unavailable',
      'The Docker engine went away in the middle of the build.',
    ])
    await builder.cleanUp(88)
    expect(await builds.traces()).toEqual([])
  })
})

describe('a cancelled build', () => {
  it('ends soon, and no other', async () => {
    const cancel = new AbortController()
    const slow = { Dockerfile: `FROM ${base}\nRUN sleep 4; echo done` }
    let started = (): void => undefined
    const running = new Promise<void>((resolve) => (started = resolve))
    const onLine = (line: string): void => void (line === 'started' && started())
    const endless = { Dockerfile: `FROM ${base}\nRUN echo started; sleep 300` }
    const cancelled = failure(build(endless, { signal: cancel.signal, onLine }))
    const other = build(slow)
    await running
    const at = performance.now()
    cancel.abort(new SlipwayError('cancelled', 'Somebody cancelled it.'))
    expect((await cancelled).message).toBe('Somebody cancelled it.')
    // Three seconds on a quiet machine.
    expect(performance.now() - at).toBeLessThan(30_000)
    const { image, lines } = await other
    expect(lines.at(-1)).toBe('done')
    await builder.removeImage(image.digest)
    expect(await builds.traces()).toEqual([])
  })

  it('before it begins does nothing', async () => {
    expect((await failure(build({ Dockerfile: `FROM ${base}` }, { signal: AbortSignal.abort() }))).code).toBe(
      'cancelled',
    )
    expect(await builds.traces()).toEqual([])
  })
})

describe('what an abandoned build left', () => {
  it('is found by its labels and removed, in the middle of a step and of a stage', async () => {
    // A server that is killed closes its connection; the engine's clean-up is hindered by taking its container away late.
    const abandoned = new AbortController()
    let started = (): void => undefined
    const running = new Promise<void>((resolve) => (started = resolve))
    const dockerfile = `FROM ${base}\nRUN true\nFROM ${base}\nRUN true\nRUN echo started; sleep 30`
    const lost = build(
      { Dockerfile: dockerfile },
      { buildId: 99, signal: abandoned.signal, onLine: (line) => void (line === 'started' && started()) },
    ).catch(() => undefined)
    await running
    const traces = await builds.traces()
    expect(traces.filter((line) => line.startsWith('container'))).toHaveLength(1)
    // The base with labels, and a step of each stage.
    expect(traces.filter((line) => line.startsWith('image')).length).toBeGreaterThanOrEqual(3)
    // The clean-up of a restarted server, while the engine still works on it.
    await makeTestBuilds(builds.installation).builder.cleanUp(99)
    await lost
    await builder.cleanUp(99)
    expect(await builds.traces()).toEqual([])
  })

  it('does not include instances, other builds and what is not Slipway’s', async () => {
    const { image } = await build({ Dockerfile: `FROM ${base}\nCMD sleep 60` }, { buildId: 50 })
    const label = ['--label', 'slipway.kind=instance']
    const [instance = ''] = await docker('run', '-d', '--network=none', ...label, image.digest)
    try {
      await builder.cleanUp(50)
      await builder.removeImage(image.digest)
      expect(await docker('ps', '-q', '--no-trunc', '--filter', `id=${instance}`)).toEqual([instance])
      expect(await builder.find(50)).toEqual(image)
      const [foreign = ''] = await docker('image', 'inspect', '--format', '{{.Id}}', base)
      await builder.removeImage(foreign)
      expect(await docker('images', '-q', '--no-trunc', base)).toEqual([foreign])
    } finally {
      await docker('rm', '-f', instance)
    }
    await builder.removeImage(image.digest)
    await delay(1)
    expect(await builds.traces()).toEqual([])
  })

  it('spares an image that somebody named', async () => {
    const { image } = await build({ Dockerfile: `FROM ${base}\nRUN true` })
    const name = `${builds.installation}-kept:1`
    await docker('tag', image.digest, name)
    await builder.removeImage(image.digest)
    expect(await docker('images', '-q', '--no-trunc', name)).toEqual([image.digest])
    await docker('rmi', name)
  })
})
