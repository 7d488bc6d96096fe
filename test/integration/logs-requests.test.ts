import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { systemClock } from '../../src/kernel/clock.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { keepRequests } from '../../src/logs/keep-requests.ts'
import type { RequestOwner } from '../../src/logs/store.ts'
import { makeMasker } from '../../src/vars/mask/masker.ts'
import { makeLogFolder, makeTestJournals, readJournal } from '../support/kept-logs.ts'
import { ask, type Backend, startBackend, startTestProxy, type TestProxy } from '../support/proxy.ts'

let proxy: TestProxy
let app: Backend
let folder: string

beforeAll(async () => {
  proxy = await startTestProxy({ routerLog: 'on' })
  app = await startBackend((req, res) => {
    if (req.url === '/cut') return void req.socket.destroy()
    res.writeHead(req.url?.startsWith('/broken') === true ? 500 : 200).end('hello')
  })
  folder = await makeLogFolder()
  await route(proxy)
})

afterAll(async () => {
  await app.close()
  await proxy.remove()
  await rm(folder, { recursive: true, force: true })
})

async function route(to: TestProxy): Promise<void> {
  await to.router.replaceAll({
    hosts: new Map([
      ['test--shop.localhost', 'e7'],
      ['v12--test--shop.localhost', 'r12'],
      ['two.localhost', 'e8'],
    ]),
    keys: new Map([
      ['e7', { set: 'r12', size: 1 }],
      ['r12', { set: 'r12', size: 1 }],
      ['e8', { set: 'r13', size: 2 }],
    ]),
    sets: new Map([
      ['r12', [app.target]],
      ['r13', [app.target, app.target]],
    ]),
  })
}

/** As the database answers: everything is of shop's test, by release set v2, by address v1. */
const db = {
  query: <R>(_sql: string, [environmentId, releaseId, address]: readonly unknown[] = []) => {
    const release = releaseId === 13 ? 'v2' : releaseId === 12 || address === '127.0.0.1' ? 'v1' : null
    const environment = environmentId === 8 ? 'two' : 'test'
    const found: RequestOwner = { environmentId: environmentId === 8 ? 8 : 7, app: 'shop', environment, release }
    return Promise.resolve([found] as R[])
  },
}

const masks = {
  ofEnvironment: (id: number) =>
    Promise.resolve(makeMasker(id === 7 ? ['hush & hush', 'say "hush", #1/2', 'pâte@home: x'] : ['of-another-one'])),
}

/** Keeps what comes until `count` lines are there, like one life of Slipway. */
async function keepUntil(count: number, from = proxy, last = ''): Promise<string[]> {
  const journals = makeTestJournals(folder)
  const over = new AbortController()
  const feed = from.requests
  if (feed === null) throw new Error('The proxy tells nothing.')
  const parts = { feed, journals, db, masks, folder, clock: systemClock, logger: silentLogger }
  const keeping = keepRequests(parts, over.signal)
  const place = { app: 'shop', environment: 'test', journal: 'router' }
  for (let i = 0; i < 200; i += 1) {
    await journals.open(place).flush()
    const kept = await readJournal(folder, place)
    if (kept.length >= count && kept.some((line) => line.includes(last))) break
    await new Promise((done) => setTimeout(done, 50))
  }
  over.abort()
  await keeping
  await journals.close()
  return (await readJournal(folder, place)).map((line) => line.replace(/ \d+ ms \d+ bytes/, ' T'))
}

/** The proxy's threads write each for itself. */
const inAnyOrder = (lines: readonly string[]): string[] => lines.toSorted()

describe('requests', () => {
  it('are kept with status, without their query; of a restart in between none is lost and none is there twice', async () => {
    await ask(proxy.port, 'test--shop.localhost', { path: '/shop?token=secret' })
    await ask(proxy.port, 'v12--test--shop.localhost', { path: '/broken/1?password=secret' })
    const first = await keepUntil(2)
    expect(inAnyOrder(first)).toEqual(['router GET /broken/1 500 T', 'router GET /shop 200 T'])
    await ask(proxy.port, 'test--shop.localhost', { path: '/while-away' })
    await ask(proxy.port, 'two.localhost', { path: '/of-another' })
    await ask(proxy.port, 'nobody.localhost', { path: '/of-nobody' })
    await ask(proxy.port, 'test--shop.localhost', { path: '/cut' }).catch(() => undefined)
    expect(inAnyOrder((await keepUntil(4)).slice(2))).toEqual([
      expect.stringMatching(/^router GET \/cut 502 T, the app closed the connection$/),
      'router GET /while-away 200 T',
    ])
    const readOther = () => readJournal(folder, { app: 'shop', environment: 'two', journal: 'router' })
    for (let i = 0; i < 50 && (await readOther()).length === 0; i += 1) {
      await new Promise((done) => setTimeout(done, 50))
      await keepUntil(4)
    }
    const other = await readOther()
    expect(other).toEqual([expect.stringMatching(/^router GET \/of-another 200 /)])
  })

  it('are kept without the secrets of their environment, however these stand in the path', async () => {
    const before = (await keepUntil(4)).length
    await ask(proxy.port, 'test--shop.localhost', { path: '/hook/hush%20%26%20hush/of-another-one' })
    expect((await keepUntil(before + 1)).slice(before)).toEqual(['router GET /hook/[masked]/of-another-one 200 T'])
  })

  it.each([
    ['/hook/say%20"hush",%20%231/2/x', '/hook/[masked]/x'],
    ['/hook/say%20%22hush",%20%231/2', '/hook/[masked]'],
    ['/p%C3%a2te@home:%20x?q', '/[masked]'],
    ['/%6a%6B/p%C3%A2te%40home:%20x', '/jk/[masked]'],
    ['/100%/%zz/%22"', '/100%/%zz/%22"'],
    ['/none%20"of"%20them', '/none%20"of"%20them'],
    [`/${'x'.repeat(1_500)}`, expect.stringMatching(/^\/x+$/)],
  ])('of the path %s only %s is kept', async (path, kept) => {
    const before = (await keepUntil(4)).length
    await ask(proxy.port, 'test--shop.localhost', { path })
    const [line = ''] = (await keepUntil(before + 1)).slice(before)
    expect(/^router GET (.*) 200 T$/.exec(line)?.[1]).toEqual(kept)
  })

  it('a secret in the middle of which a path was cut is masked', async () => {
    const secret = 'say%20"hush",%20%231/2'
    for (let shift = 0; shift < 30; shift += 5) {
      const before = (await keepUntil(4)).length
      const path = `/${'.'.repeat(shift)}/${secret.repeat(80)}`
      await ask(proxy.port, 'test--shop.localhost', { path })
      const [line = ''] = (await keepUntil(before + 1)).slice(before)
      // What is too short for a mark may be left of the last one.
      expect(line).toMatch(/^router GET \/\.*\/\[masked\][^[]{0,6} 200 T$/)
    }
  })

  it('a path may be anything that passes the proxy', async () => {
    const before = (await keepUntil(4)).length
    await ask(proxy.port, 'test--shop.localhost', { path: `/${'x'.repeat(3000)}` })
    await ask(proxy.port, 'test--shop.localhost', { path: '/%1b%5b31m"{}|' })
    const lines = inAnyOrder((await keepUntil(before + 2)).slice(before))
    expect(lines[1]?.length).toBeLessThan(1600)
    expect(lines[0]).toMatch(/^router GET \/%1b%5b31m.* 200 T$/)
  })

  it('nobody who reads holds the proxy up: the oldest are lost', async () => {
    const agentless = Array.from({ length: 40 }, (_, i) => i)
    for (let round = 0; round < 60; round += 1) {
      await Promise.all(agentless.map(() => ask(proxy.port, 'test--shop.localhost', { path: `/${'y'.repeat(1000)}` })))
    }
    expect((await ask(proxy.port, 'test--shop.localhost', { path: '/last' })).status).toBe(200)
    const before = (await readJournal(folder, { app: 'shop', environment: 'test', journal: 'router' })).length
    const lines = await keepUntil(before + 500, proxy, ' /last ')
    expect(lines.length - before).toBeLessThan(2401)
    // Its threads write a little out of order.
    expect(lines.slice(-41)).toContain('router GET /last 200 T')
  })

  it('in order are not told when only errors are wanted', async () => {
    const quiet = await startTestProxy({ routerLog: 'errors' })
    try {
      await route(quiet)
      const before = (await readJournal(folder, { app: 'shop', environment: 'test', journal: 'router' })).length
      await ask(quiet.port, 'test--shop.localhost', { path: '/fine' })
      await ask(quiet.port, 'test--shop.localhost', { path: '/broken/2' })
      expect((await keepUntil(before + 1, quiet)).slice(before)).toEqual(['router GET /broken/2 500 T'])
    } finally {
      await quiet.remove()
    }
  })
})
