import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeEngine, readDisk, readMemory, readUse } from '../../src/adapters/docker/index.ts'
import { type DiskPlace, type DiskRoom, makeDiskRoom } from '../../src/builds/index.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { makeMemoryRoom } from '../../src/runtime/index.ts'
import { ensureBaseImage } from '../support/base-image.ts'
import { docker } from '../support/builds.ts'
import { eventually, expectNothingLeft, makeClone, startGitServer } from '../support/git-server.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

const mb = 1024 ** 2

interface SmallDisk {
  readonly room: DiskRoom
  fill(bytes: number): void
  /** What is done to make room. */
  onMakeRoom: () => void
  remove(): void
}

/** A disk of 64 MB, of which builds want 30 free, and pushes 3. */
function makeSmallDisk(): {
  room: DiskRoom
  fill: (bytes: number) => void
  onMakeRoom: () => void
  remove: () => void
} {
  const folder = mkdtempSync(join(tmpdir(), 'slipway-small-disk-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', folder])
  const measureData = async (): Promise<DiskPlace | null> => {
    const room = await readDisk(folder)
    return room === null ? null : { ...room, name: 'the small disk' }
  }
  const disk: SmallDisk = {
    room: makeDiskRoom({
      measure: async () => [await measureData()].filter((place) => place !== null),
      measureData,
      floorBytes: 30 * mb,
      makeRoom: async () => disk.onMakeRoom(),
    }),
    fill: (bytes: number) => writeFileSync(join(folder, 'filling'), Buffer.alloc(bytes)),
    onMakeRoom: () => undefined,
    remove() {
      execFileSync('umount', [folder])
      rmSync(folder, { recursive: true })
    },
  }
  return disk
}

describe('a disk that fills up', () => {
  let disk: SmallDisk
  beforeEach(() => {
    disk = makeSmallDisk()
  })
  afterEach(() => disk.remove())

  it('refuses builds with figures, in the deploy’s own log; what serves goes on; when there is room, the next goes live', async () => {
    const spine = await makeSpine({ disk: disk.room })
    try {
      const first = await spine.push('test', commitOf('a'))
      expect((await spine.log(first)).at(-1)).toContain('status=live')
      disk.fill(50 * mb)
      const refused = await spine.push('test', commitOf('b'))
      const log = (await spine.log(refused)).join('\n')
      expect(log).toContain('The disk is nearly full: removing what is not needed any more')
      expect(log).toMatch(/the small disk has 14 MB of 64 MB free, and builds begin with 30 MB or more/)
      expect(log).toMatch(/status=failed/)
      expect(spine.builder.begun).toHaveLength(1)
      expect(await spine.deploys.get(refused)).toMatchObject({ state: 'failed', error: { code: 'unavailable' } })
      const { id } = await spine.environment('test')
      expect(await spine.deploys.listInstances(id)).toEqual([
        expect.objectContaining({ deployId: first, state: 'serving' }),
      ])

      // What is not needed any more is found this time.
      disk.onMakeRoom = () => disk.fill(10 * mb)
      const third = await spine.push('test', commitOf('c'))
      expect((await spine.log(third)).at(-1)).toContain('status=live')
    } finally {
      await spine.close()
    }
  })

  it('takes pushes for longer, then refuses them in words before anything is written', async () => {
    const server = await startGitServer({ assertRoom: (bytes) => disk.room.assertForPush(bytes) })
    const clone = await makeClone(server.remote('shop'))
    try {
      disk.fill(50 * mb)
      await clone.commit('a.txt', 'a')
      expect((await clone.git('push', '-o', 'skip-deploy', 'divio', 'main')).code).toBe(0)
      disk.fill(62 * mb)
      await clone.commit('b.txt', randomBytes(100_000))
      const { code, output } = await clone.git('push', 'divio', 'main')
      expect(code).toBe(1)
      expect(output).toMatch(/ !     There is too little room on the server’s disk.*: 2 MB are free, and 3 MB are kept/)
      expect(output).toContain('Nothing was changed. Have room made on the server, then push again.')
      expect(output).toContain('[remote rejected] main -> main')
      disk.fill(10 * mb)
      expect((await clone.git('push', '-o', 'skip-deploy', 'divio', 'main')).code).toBe(0)
      await expectNothingLeft(server)
      expect(server.failures).toEqual([])
    } finally {
      clone.remove()
      await server.close()
    }
  })
})

describe('memory that runs short', () => {
  let spine: Spine
  const memory = { freeBytes: 4000 * mb, sizeBytes: 8000 * mb }
  const asked: string[] = []
  let nowMs = 0
  beforeEach(async () => {
    memory.freeBytes = 4000 * mb
    asked.length = 0
    const room = makeMemoryRoom({
      measure: async () => memory,
      readUse: async (containerId) => {
        asked.push(containerId)
        return 40 * mb
      },
      floorBytes: 100 * mb,
      // A minute and more between two starts.
      clock: { ...systemClock, monotonicMs: () => (nowMs += 61_000) },
    })
    spine = await makeSpine({ memory: room })
  })
  afterEach(() => spine.close())

  it('refuses a start with figures, leaves nothing, and what serves goes on', async () => {
    const first = await spine.push('test', commitOf('a'))
    expect((await spine.log(first)).at(-1)).toContain('status=live')
    const { id } = await spine.environment('test')
    const [serving] = await spine.deploys.listInstances(id)
    memory.freeBytes = 140 * mb
    const refused = await spine.push('test', commitOf('b'))
    const log = (await spine.log(refused)).join('\n')
    expect(log).toContain(
      'The server has too little memory to start it: 140 MB of 7.8 GB are free; it is expected to need 50 MB, by what the running one uses, and 100 MB must stay free. Running instances may take 64 MB together.',
    )
    expect(log).toMatch(/status=failed/)
    expect(asked).toEqual([serving?.containerId])
    expect(await spine.deploys.listInstances(id)).toEqual([
      expect.objectContaining({ deployId: first, state: 'serving' }),
    ])
    expect(await spine.runtime.list()).toHaveLength(1)

    memory.freeBytes = 151 * mb
    const third = await spine.push('test', commitOf('c'))
    expect((await spine.log(third)).at(-1)).toContain('status=live')
  })
})

describe('what is measured', () => {
  it('is this host’s memory', async () => {
    const memory = await readMemory()
    expect(memory?.sizeBytes).toBeGreaterThan(256 * mb)
    expect(memory?.freeBytes).toBeGreaterThan(16 * mb)
    expect(memory?.freeBytes).toBeLessThan(memory?.sizeBytes ?? 0)
  })

  it('is nothing where there is no such folder', async () => {
    expect(await readDisk('/nowhere/at/all')).toBeNull()
  })

  it('is what a container really holds, without the files that it has read', async () => {
    // 20 MB in a variable, 40 MB in the cache of files.
    const hold = `head -c 40000000 /dev/zero > /f; cat /f > /dev/null; x=$(head -c 20000000 /dev/zero | tr '\\0' x); echo held; sleep 300; echo $x`
    const [id = ''] = await docker('run', '-d', '--memory=256m', await ensureBaseImage(), 'sh', '-c', hold)
    try {
      await eventually(
        () => docker('logs', id),
        (lines) => lines.includes('held'),
      )
      const engine = makeEngine({ socketPath: '/var/run/docker.sock' })
      const use = await readUse(engine, id)
      expect(use?.memoryBytes).toBeGreaterThan(15 * mb)
      expect(use?.memoryBytes).toBeLessThan(75 * mb)
      expect(use?.cpuMs).toBeGreaterThan(0)
      expect(await readUse(engine, 'no-such-container')).toBeNull()
    } finally {
      await docker('rm', '-f', id)
    }
  })
})
