import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeMemoryBound } from '../../src/adapters/git-cli/memory-bound.ts'
import { makeSpawnGit, runGit } from '../../src/adapters/git-cli/spawn-git.ts'
import type { GitExit, SpawnGit } from '../../src/git/index.ts'
import {
  type Clone,
  eventually,
  expectNothingLeft,
  type GitServer,
  makeClone,
  processesIn,
  startGitServer,
} from '../support/git-server.ts'

const MB = 1024 * 1024
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

describe('a git that hangs', () => {
  let folder: string
  let spawnGit: SpawnGit
  /** In the place of git. */
  const install = (script: string): void => {
    writeFileSync(join(folder, 'git'), `#!/bin/sh\n${script}\n`)
    chmodSync(join(folder, 'git'), 0o755)
  }
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'slipway-hang-'))
    const memory = makeMemoryBound({ name: `hang${process.pid}`, bytes: 300 * MB })
    spawnGit = makeSpawnGit({ environment: { PATH: `${folder}:${process.env['PATH'] ?? ''}`, HERE: folder }, memory })
  })
  afterEach(async () => {
    await eventually(
      () => processesIn(folder),
      (left) => left.length === 0,
    )
    rmSync(folder, { recursive: true })
  })
  const end = async (script: string, idleMs: number, totalMs = 60_000): Promise<GitExit & { tookMs: number }> => {
    install(script)
    const begun = performance.now()
    const child = spawnGit(['receive-pack'], { limits: { idleMs, totalMs } })
    child.stdin.end('x')
    child.stdout.resume()
    return { ...(await child.exited), tookMs: performance.now() - begun }
  }

  it('and says nothing is ended, with the time it had', async () => {
    const { endedFor, tookMs } = await end('cat >/dev/null; exec sleep 100', 400)
    expect(endedFor).toMatchObject({ code: 'timeout', message: 'git receive-pack made no progress for 0.4 s.' })
    expect(tookMs).toBeLessThan(3_000)
  })

  it('and goes on saying something is ended in the end', async () => {
    const { endedFor } = await end('while :; do echo; sleep 0.05; done', 2_000, 4_000)
    expect(endedFor).toMatchObject({ code: 'timeout', message: 'git receive-pack did not end within 4 s.' })
  })

  it('and was stopped is ended too', async () => {
    const { endedFor, tookMs } = await end('kill -STOP $$', 300)
    expect(endedFor).toMatchObject({ code: 'timeout' })
    expect(tookMs).toBeLessThan(3_000)
  })

  it('and does not listen is killed with all that it started', async () => {
    const { endedFor, tookMs } = await end(`trap '' TERM; tail -f "$HERE/git" & tail -f "$HERE/git"`, 200)
    expect(endedFor).toMatchObject({ code: 'timeout' })
    expect(tookMs).toBeLessThan(9_000)
  }, 20_000)

  it('ends with the signal of whoever waits, and with its reason', async () => {
    install('exec sleep 100')
    const stop = new AbortController()
    setTimeout(() => stop.abort(new Error('enough')), 100)
    const options = { repository: folder, signal: stop.signal, timeoutMs: 60_000 }
    await expect(runGit(spawnGit, ['gc'], options)).rejects.toThrow('enough')
    await expect(runGit(spawnGit, ['gc'], { repository: folder, timeoutMs: 200 })).rejects.toMatchObject({
      code: 'timeout',
    })
  })

  it('is not one whose input comes slowly, or whose output is read slowly', async () => {
    install(`read line; head -c ${4 * MB} /dev/zero`)
    const child = spawnGit(['upload-pack'], { limits: { idleMs: 1_000, totalMs: 60_000 } })
    await pause(2_500)
    child.stdin.end('go\n')
    let bytes = 0
    for await (const chunk of child.stdout) {
      bytes += (chunk as Buffer).length
      if (bytes === (chunk as Buffer).length) await pause(2_500)
      else if (bytes < MB) await pause(300)
    }
    expect(await child.exited).toMatchObject({ code: 0, endedFor: null })
    expect(bytes).toBe(4 * MB)
  })
})

describe('on the server', () => {
  let server: GitServer
  let clone: Clone
  let hang: string | null = null

  beforeAll(async () => {
    const replaceGit =
      (real: SpawnGit): SpawnGit =>
      (args, options) =>
        real(hang !== null && args.includes(hang) ? ['-c', 'alias.hang=!sleep 100', 'hang'] : args, options)
    server = await startGitServer({ gitIdleMs: 1_000, replaceGit })
  })
  afterAll(() => server.close())
  beforeEach(async () => {
    hang = null
    clone = await makeClone(server.remote('shop'))
    await clone.git('config', 'core.compression', '0')
  })
  afterEach(async () => {
    clone.remove()
    await expectNothingLeft(server)
    expect(server.failures.splice(0)).toEqual([])
  })

  /** Stops the git of this name as soon as it is there; not the one before it that only lists the refs, nor one at its end. */
  async function stop(name: string): Promise<void> {
    const isMeant = (line: string): boolean =>
      new RegExp(`git (?:${name}) --st`).test(line) && !line.includes('--advertise-refs')
    await eventually(
      async () => {
        for (const line of processesIn(server.dataDir).filter(isMeant)) {
          const pid = Number(line.split(' ')[0])
          if (signal(pid) && (await isStopped(pid))) return true
        }
        return false
      },
      (stopped) => stopped,
    )
  }

  function signal(pid: number): boolean {
    try {
      return process.kill(pid, 'SIGSTOP')
    } catch {
      return false
    }
  }

  async function isStopped(pid: number): Promise<boolean> {
    await pause(20)
    try {
      return /\) T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
    } catch {
      return false
    }
  }

  it('a receive-pack that is stopped in the middle of a push is ended: the pusher is told, and the next push works', async () => {
    await clone.commit('random.bin', randomBytes(40 * MB))
    const [{ code, output }] = await Promise.all([clone.git('push', 'divio', 'main'), stop('receive-pack')])
    expect(code).toBe(1)
    expect(output).toMatch(/ !     On the server git receive-pack made no progress for 1 s\./)
    expect(output).toMatch(/ !     It was ended, and nothing was changed\. Push again/)
    await expectNothingLeft(server)
    expect((await clone.git('push', 'divio', 'main')).code).toBe(0)
  })

  it('a push whose deploy takes its time is not ended for it', async () => {
    await clone.commit('b.txt', randomBytes(10).toString('hex'))
    const release = server.deploys.hold()
    const pushing = clone.git('push', server.remote('blog'), 'main')
    await eventually(
      () => server.deploys.following.size,
      (count) => count > 0,
    )
    await pause(2_500)
    expect(server.deploys.following.size).toBe(1)
    release()
    expect(await pushing).toMatchObject({ code: 0, output: expect.stringContaining('Building') })
  })

  it('an upload-pack that is stopped ends the fetch', async () => {
    await clone.commit('more.bin', randomBytes(40 * MB))
    expect((await clone.git('push', 'divio', 'HEAD:refs/heads/large')).code).toBe(0)
    const fetching = clone.git('clone', '-q', server.remote('shop'), join(clone.path, 'again'))
    await stop('upload-pack|upload-pack --strict')
    expect((await fetching).code).toBe(128)
  })

  it('a list of refs that does not come is told', async () => {
    hang = '--advertise-refs'
    const { code, output } = await clone.git('ls-remote', 'divio')
    expect(code).toBe(128)
    expect(output).toMatch(/made no progress for 1 s\. Try again\./)
  })
})
