import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { appendFile, chmod, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeMapFiles, parseMap, renderMap } from '../../../../src/adapters/haproxy/map-files.ts'

let dataDir: string
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'slipway-maps-'))
})
afterEach(async () => {
  await rm(dataDir, { recursive: true, force: true })
})
const file = (map: string): string => join(dataDir, 'proxy/maps', `${map}.map`)

const rules = ['passwords', 'allowed', 'limits', 'maintenance']

describe('the text of a map', () => {
  const entries = new Map([
    ['a.example.org', 'e1'],
    ['b.example.org', 'e2'],
  ])

  it('is read as it was written, and is a comment and lines to HAProxy', () => {
    expect(parseMap(renderMap(entries))).toEqual(entries)
    expect(parseMap(renderMap(new Map()))).toEqual(new Map())
    expect(renderMap(entries).split('\n').slice(1)).toEqual(['a.example.org e1', 'b.example.org e2', ''])
    expect(renderMap(entries)).toMatch(/^# /)
  })

  it('is not believed when a byte is missing, another or more', () => {
    const text = renderMap(entries)
    for (let length = 0; length < text.length; length += 1) expect(parseMap(text.slice(0, length))).toBeNull()
    expect(parseMap(text.replace('e2', 'e3'))).toBeNull()
    expect(parseMap(`${text}c.example.org e3\n`)).toBeNull()
    expect(parseMap('')).toBeNull()
  })
})

describe('the map files', () => {
  it('hold a change as soon as it is told to be done', async () => {
    const files = makeMapFiles(dataDir)
    expect(await files.load()).toEqual(['hosts', 'routes', 'targets', 'timeouts', ...rules])
    await files.change('hosts', (held) => held.set('a.example.org', 'e1'))
    expect((await readFile(file('hosts'), 'utf8')).endsWith('\na.example.org e1\n')).toBe(true)
    expect((await stat(file('hosts'))).mode & 0o777).toBe(0o600)
    expect(await readdir(join(dataDir, 'proxy/maps'))).toEqual(['hosts.map'])
    const later = makeMapFiles(dataDir)
    expect(await later.load()).toEqual(['routes', 'targets', 'timeouts', ...rules])
    expect(later.entries().hosts).toEqual(new Map([['a.example.org', 'e1']]))
  })

  it('keep the order of changes and share writes', async () => {
    const files = makeMapFiles(dataDir)
    await files.load()
    const done: number[] = []
    const changes = Array.from({ length: 200 }, (_, i) =>
      files.change('routes', (held) => held.set('e1', `r${i}/1`)).then(() => void done.push(i)),
    )
    await Promise.all(changes)
    expect(done).toEqual([...done].sort((a, b) => a - b))
    expect(files.entries().routes.get('e1')).toBe('r199/1')
    expect(parseMap(await readFile(file('routes'), 'utf8'))).toEqual(new Map([['e1', 'r199/1']]))
  })

  it('do not touch the disk for what is so already', async () => {
    const files = makeMapFiles(dataDir)
    await files.load()
    await files.change('routes', (held) => held.set('e1', 'r1/1'))
    const before = (await stat(file('routes'))).ino
    await files.change('routes', (held) => held.set('e1', 'r1/1'))
    expect((await stat(file('routes'))).ino).toBe(before)
  })

  it('take nothing from a torn or foreign file, and mend it', async () => {
    const files = makeMapFiles(dataDir)
    await files.load()
    for (const map of ['hosts', 'routes', 'targets', 'timeouts'] as const) {
      await files.change(map, (held) => held.set('k', 'v'))
    }
    await truncate(file('hosts'), 70)
    await appendFile(file('routes'), 'evil e1\n')
    const later = makeMapFiles(dataDir)
    expect(await later.load()).toEqual(['hosts', 'routes', ...rules])
    expect(later.entries().routes.size).toBe(0)
    await rm(file('targets'))
    expect(await files.mend()).toEqual(['hosts', 'routes'])
    expect(await files.mend()).toEqual([])
    expect(await makeMapFiles(dataDir).load()).toEqual([])
  })

  it('have not changed when the disk refuses, and the next change does not bring the refused one', async () => {
    const files = makeMapFiles(dataDir)
    await files.load()
    await files.change('routes', (held) => held.set('e1', 'r1/1'))
    const folder = join(dataDir, 'proxy/maps')
    await rm(folder, { recursive: true })
    await writeFile(folder, 'in the way')
    await expect(files.change('routes', (held) => held.set('e1', 'r2/1'))).rejects.toMatchObject({
      code: 'unavailable',
    })
    expect(files.entries().routes.get('e1')).toBe('r1/1')
    await rm(folder)
    await files.mend()
    await chmod(folder, 0o700)
    await files.change('routes', (held) => held.set('e2', 'r3/1'))
    expect(parseMap(await readFile(file('routes'), 'utf8'))).toEqual(
      new Map([
        ['e1', 'r1/1'],
        ['e2', 'r3/1'],
      ]),
    )
  })
})
