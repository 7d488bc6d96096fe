import { execFile } from 'node:child_process'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { systemClock } from '../../src/kernel/clock.ts'
import type { Journals } from '../../src/logs/journals.ts'
import { encodeLine, stampOf } from '../../src/logs/line.ts'
import { makeRuntimeLogs, type RuntimeLogOptions } from '../../src/logs/read.ts'
import { makeLogFolder, makeTestJournals, readJournal, wideLimits } from '../support/kept-logs.ts'

const run = promisify(execFile)
const shop = { app: 'shop', environment: 'test' }
const begunMs = Math.floor(Date.now() / 1000) * 1000 - 700_000

let folder: string
let journals: Journals
beforeEach(async () => {
  folder = await makeLogFolder()
  journals = makeTestJournals(folder)
})
afterEach(async () => {
  await journals.close()
  await rm(folder, { recursive: true, force: true })
})

/** A line at so many seconds after the beginning. */
function print(journal: string, second: number, text: string, into = journals): void {
  const at = stampOf(new Date(begunMs + second * 1000))
  const [from, container] = journal === 'router' ? ['router', 'v2'] : ['web.1', '3f2a9c1b4d5e']
  into.open({ ...shop, journal }).append(encodeLine({ at, from, container, output: 'stdout', text }))
}

const flush = async (): Promise<void> => {
  for (const journal of ['v1', 'v2', 'router']) await journals.open({ ...shop, journal }).flush()
}

const everything = {
  tail: 1000,
  since: null,
  release: null,
  process: null,
  sources: ['app' as const],
  after: null,
  follow: false,
}

async function read(options: Partial<RuntimeLogOptions>, seen: string[] = []): Promise<string[]> {
  const db = { query: <R>() => Promise.resolve([{ ...shop, createdAt: new Date(begunMs - 1) }] as R[]) }
  const logs = makeRuntimeLogs({ journals, db, clock: systemClock })
  const signal = AbortSignal.timeout(20_000)
  for await (const line of logs.read(1, { ...everything, signal, ...options })) {
    cursors.push(line.cursor)
    seen.push(`${line.release} ${line.instance} ${line.text}`)
  }
  return seen
}
let cursors: string[] = []
beforeEach(() => void (cursors = []))

describe('reading what is kept', () => {
  it('several logs are one by time; the newest, from a moment, of one release, of one source', async () => {
    for (const second of [1, 3, 5, 7]) print('v1', second, `a${second}`)
    for (const second of [4, 6, 8]) print('v2', second, `b${second}`)
    print('router', 9, 'GET /')
    await flush()
    const texts = (lines: string[]): string => lines.map((line) => line.split(' ')[2]).join(' ')
    expect(texts(await read({}))).toBe('a1 a3 b4 a5 b6 a7 b8')
    expect(texts(await read({ tail: 3 }))).toBe('b6 a7 b8')
    expect(await read({ tail: 0 })).toEqual([])
    expect(texts(await read({ since: new Date(begunMs + 5500) }))).toBe('b6 a7 b8')
    expect(texts(await read({ release: 1 }))).toBe('a1 a3 a5 a7')
    expect(await read({ sources: ['router'] })).toEqual(['v2 router GET /'])
    expect(await read({ sources: ['router'], release: 1 })).toEqual([])
    expect(await read({ sources: ['app', 'router'], tail: 2 })).toEqual(['v2 web.1 b8', 'v2 router GET /'])
  })

  it('of one process, or of one of its instances, with what Slipway says of it, however far back', async () => {
    const say = (second: number, from: string, text: string): void => {
      const at = stampOf(new Date(begunMs + second * 1000))
      journals
        .open({ ...shop, journal: 'v1' })
        .append(encodeLine({ at, from, container: '3f', output: 'stdout', text }))
    }
    say(1, 'worker.1', 'a')
    say(2, 'worker.2', 'b')
    say(3, 'slipway', 'worker.2 ended')
    say(4, 'worker_2.1', 'c')
    say(4, 'slipway', 'worker_2.1 ended')
    for (let second = 5; second < 40; second += 1) say(second, 'web.1', 'd')
    await flush()
    const ofWorker = ['v1 worker.1 a', 'v1 worker.2 b', 'v1 slipway worker.2 ended']
    expect(await read({ process: 'worker', tail: 3 })).toEqual(ofWorker)
    expect(await read({ process: 'worker.2', tail: 30 })).toEqual(ofWorker.slice(1))
    expect(await read({ process: 'web.1', tail: 1 })).toEqual(['v1 web.1 d'])
    expect(await read({ process: 'gone' })).toEqual([])
  })

  it('goes on behind any line without one twice or none, while more is written, packed and begun', async () => {
    for (let second = 1; second <= 30; second += 1) print(second % 3 === 0 ? 'v2' : 'v1', second, String(second))
    await flush()
    const whole = await read({})
    const [places] = [cursors]
    for (const at of [0, 1, 2, 10, 28, 29]) {
      expect(await read({ after: places[at] ?? '' })).toEqual(whole.slice(at + 1))
    }
    // What comes later, in a release that is new, and in a part that is packed meanwhile.
    await journals.close()
    journals = makeTestJournals(folder, { partBytes: 300 })
    for (let second = 31; second <= 60; second += 1) print(second > 45 ? 'v3' : 'v2', second, String(second))
    for (const journal of ['v2', 'v3']) await journals.open({ ...shop, journal }).flush()
    const later = await read({ after: places[20] ?? '' })
    expect(later.map((line) => Number(line.split(' ')[2]))).toEqual(Array.from({ length: 39 }, (_, i) => i + 22))
  })

  it('follows, into releases that did not exist', async () => {
    print('v1', 1, 'old')
    await flush()
    const seen: string[] = []
    const over = new AbortController()
    const reading = read({ follow: true, tail: 1, signal: over.signal }, seen)
    const until = async (count: number): Promise<void> => {
      for (let i = 0; i < 300 && seen.length < count; i += 1) await new Promise((done) => setTimeout(done, 20))
    }
    await until(1)
    print('v1', 2, 'more')
    await until(2)
    print('v2', 3, 'new release')
    await until(3)
    over.abort()
    await reading
    expect(seen).toEqual(['v1 web.1 old', 'v1 web.1 more', 'v2 web.1 new release'])
  })
})

describe('writing', () => {
  it('full parts are packed, and nothing is missing at the seams; what is too much goes', async () => {
    await journals.close()
    const limits = { ...wideLimits, releaseBytes: 800 }
    journals = makeTestJournals(folder, { partBytes: 1_000, limits })
    for (let i = 1; i <= 100; i += 1) {
      print('v1', i, `line ${i}`)
      if (i % 5 === 0) await journals.open({ ...shop, journal: 'v1' }).flush()
    }
    const place = { ...shop, journal: 'v1' }
    for (let i = 0; i < 100; i += 1) {
      if ((await readdir(journals.folderOf(place))).filter((name) => name.endsWith('.gz')).length >= 5) break
      await new Promise((done) => setTimeout(done, 20))
    }
    expect(await readJournal(folder, place)).toEqual(Array.from({ length: 100 }, (_, i) => `web.1 line ${i + 1}`))
    await journals.sweep()
    const kept = await readJournal(folder, place)
    expect(kept.length).toBeLessThan(100)
    expect(kept.at(-1)).toBe('web.1 line 100')
  })

  it('a line that a crash cut off is taken away', async () => {
    print('v1', 1, 'whole')
    await flush()
    await run('sh', ['-c', `printf '2026-11-21T10:00:0' >> ${folder}/shop/test/v1/00001.log`])
    await journals.close()
    journals = makeTestJournals(folder)
    print('v1', 2, 'next')
    await flush()
    expect(await readJournal(folder, { ...shop, journal: 'v1' })).toEqual(['web.1 whole', 'web.1 next'])
  })

  it('a full disk loses lines, which is counted and told once there is room; nothing fails', async () => {
    const disk = join(folder, 'disk')
    await mkdir(disk)
    await run('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', disk])
    const full = makeTestJournals(disk)
    try {
      const writer = full.open({ ...shop, journal: 'v1' })
      for (let i = 1; i <= 600; i += 1) {
        print('v1', i, `${'x'.repeat(1000)} ${i}`, full)
        if (i % 10 === 0) await writer.flush()
      }
      const before = await readJournal(disk, { ...shop, journal: 'v1' })
      expect(before.length).toBeGreaterThan(100)
      await run('mount', ['-o', 'remount,size=2m', disk])
      print('v1', 601, 'there is room', full)
      await writer.flush()
      const after = await readJournal(disk, { ...shop, journal: 'v1' })
      expect(after.slice(0, before.length)).toEqual(before)
      expect(after.slice(before.length)).toEqual([
        expect.stringMatching(new RegExp(`^slipway ${600 - before.length} lines since .*Z could not be kept`)),
        'web.1 there is room',
      ])
    } finally {
      await full.close()
      await run('umount', [disk])
    }
  })
})
