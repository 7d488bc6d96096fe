import { describe, expect, it } from '@jest/globals'
import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { makeMemoryBound } from '../../src/adapters/git-cli/memory-bound.ts'
import { makeSpawnGit } from '../../src/adapters/git-cli/spawn-git.ts'
import {
  type Clone,
  eventually,
  expectNothingLeft,
  type GitServer,
  processesIn,
  startGitServer,
} from '../support/git-server.ts'
import { withOwnApp } from '../support/own-app.ts'

const MB = 1024 * 1024
let server: GitServer
let clone: Clone
let app: string
withOwnApp((own) => ({ server, clone, app } = own), { childMemoryBytes: 64 * MB })

/** The most memory that git's children on the server's side held together, and the server's own, while `work` ran. */
async function watch<T>(work: Promise<T>): Promise<{ result: T; childrenMb: number; serverMb: number }> {
  let children = 0
  let own = 0
  const timer = setInterval(() => {
    own = Math.max(own, process.memoryUsage.rss())
    const sum = processesIn(server.dataDir).reduce((total, line) => total + residentOf(line.split(' ')[0] ?? ''), 0)
    children = Math.max(children, sum)
  }, 20)
  const result = await work
  clearInterval(timer)
  return { result, childrenMb: children / MB, serverMb: own / MB }
}

function residentOf(pid: string): number {
  try {
    return Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

describe('memory', () => {
  it('a small pack with a huge file in it takes little', async () => {
    await clone.commit('zeros.bin', Buffer.alloc(150 * MB))
    const { result, childrenMb } = await watch(clone.git('push', 'divio', 'main'))
    expect(result.code).toBe(0)
    expect(childrenMb).toBeLessThan(64)
  })

  it('a 20 MB push goes through the server without staying in it', async () => {
    await clone.git('config', 'core.compression', '0')
    await clone.commit('random.bin', randomBytes(20 * MB))
    const before = process.memoryUsage.rss() / MB
    const { result, serverMb } = await watch(clone.git('push', 'divio', 'main'))
    expect(result.code).toBe(0)
    expect(serverMb - before).toBeLessThan(60)
  })

  it('what needs more than it may is told so, and nothing is left', async () => {
    const small = await startGitServer({ childMemoryBytes: 2 * MB })
    try {
      for (let i = 0; i < 150; i++) await clone.git('commit', '-q', '--allow-empty', '-m', `${i}`)
      // A chain of differences: git keeps what they stand on in memory while it resolves them.
      const content = randomBytes(900_000)
      for (let i = 0; i < 25; i++) await clone.commit('a.bin', Buffer.concat([content, Buffer.from(`${i}`)]))
      const { code, output } = await clone.git('push', small.remote(app), 'main')
      if (small.cli.memoryBound === 'data limit') return
      expect(code).toBe(1)
      expect(output).toMatch(/needs more memory/)
      await expectNothingLeft(small)
    } finally {
      await small.close()
    }
  })
})

describe('a full disk', () => {
  /** The objects of the app on a file system of their own, filled up to so many bytes. */
  async function fill(freeBytes: number): Promise<() => void> {
    await clone.commit('a.txt', 'a')
    expect((await clone.git('push', 'divio', 'main')).code).toBe(0)
    const objects = join(server.cli.repositories.pathOf(app), 'objects')
    cpSync(objects, `${objects}.kept`, { recursive: true })
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', objects])
    cpSync(`${objects}.kept`, objects, { recursive: true })
    const { bfree, bsize } = statfsSync(objects)
    writeFileSync(join(objects, 'filling'), Buffer.alloc(bfree * bsize - freeBytes))
    return () => {
      execFileSync('umount', [objects])
      rmSync(`${objects}.kept`, { recursive: true })
    }
  }

  it.each([
    ['nothing', 0],
    ['a part of the pack', 300_000],
  ])('with room for %s is told in words, and nothing is left', async (_, freeBytes) => {
    const empty = await fill(freeBytes)
    try {
      await clone.commit('random.bin', randomBytes(600_000))
      const { code, output } = await clone.git('push', 'divio', 'main')
      expect(code).toBe(1)
      expect(output).toMatch(/ !     The server’s disk is full, so this push could not be stored\./)
      expect(output).toMatch(/ !     Nothing was changed\. Have room made on the server, then push again\./)
      expect(output).not.toContain('Git could not take in')
      await expectNothingLeft(server)
    } finally {
      empty()
    }
  })
})

it('the groups of children are gone with them', async () => {
  const place = { 'cgroup v1': '/sys/fs/cgroup/memory', 'cgroup v2': '/sys/fs/cgroup', 'data limit': null }
  const folder = place[server.cli.memoryBound]
  if (folder === null) return
  await clone.commit('a.txt', 'a')
  expect((await clone.git('push', 'divio', 'main')).code).toBe(0)
  const ours = (): string[] => readdirSync(folder).filter((name) => name.includes(`.${process.pid}.`))
  await eventually(ours, (left) => left.length === 0)
})

describe('where no cgroup can be made', () => {
  it('a limit on each process’s data holds instead', async () => {
    const memory = makeMemoryBound({ name: 'none', bytes: 300 * MB, cgroupRoot: '/nonexistent' })
    expect(memory.kind).toBe('data limit')
    const spawnGit = makeSpawnGit({ environment: { PATH: process.env['PATH'] ?? '' }, memory })
    const run = async (...args: string[]): Promise<number | null> => {
      const child = spawnGit(args, { limits: { idleMs: 30_000, totalMs: 30_000 } })
      child.stdin.end(Buffer.alloc(500 * MB))
      child.stdout.resume()
      return (await child.exited).code
    }
    expect(await run('version')).toBe(0)
    expect(await run('hash-object', '--stdin')).not.toBe(0)
  })

  it('the hook can run under it', () => {
    const [command = '', ...args] = makeMemoryBound({ name: 'none', bytes: 512 * MB, cgroupRoot: '/nonexistent' }).wrap(
      [resolve(__dirname, '../../hooks/proc-receive')],
    )
    const { status, stderr } = spawnSync(command, args, { env: { PATH: '/usr/bin:/bin' }, encoding: 'utf8' })
    expect(stderr).toContain('Slipway does not answer')
    expect(status).toBe(1)
  })
})
