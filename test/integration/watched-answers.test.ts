import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from '@jest/globals'
import { countAnswers } from '../../src/deploys/warm/count-answers.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makeFailedAnswers } from '../../src/logs/failed-answers.ts'
import { keepRequests } from '../../src/logs/keep-requests.ts'
import { makeLogFolder, makeTestJournals } from '../support/kept-logs.ts'
import { ask, type Backend, startBackend, startTestProxy, type TestProxy, until } from '../support/proxy.ts'

/* How what went live answers, as a real HAProxy tells: by default it writes lines for errors alone. */

let proxy: TestProxy
let app: Backend
let older: Backend
let folder: string
const over = new AbortController()
const failedAnswers = makeFailedAnswers()
let keeping: Promise<void>

beforeAll(async () => {
  proxy = await startTestProxy()
  app = await startBackend((req, res) => res.writeHead(req.url === '/broken' ? 500 : 200).end('hello'))
  older = await startBackend((_req, res) => res.writeHead(500).end('broken'))
  await proxy.router.replaceAll({
    hosts: new Map([
      ['test--shop.localhost', 'e7'],
      ['v1--test--shop.localhost', 'r1'],
      ['v2--test--shop.localhost', 'r2'],
      ['v0--test--shop.localhost', 'w7'],
    ]),
    keys: new Map([
      ['e7', { set: 'd2', size: 1 }],
      ['r1', { set: 'd1', size: 1 }],
      ['r2', { set: 'd2', size: 1 }],
    ]),
    sets: new Map([
      ['d1', [older.target]],
      ['d2', [app.target]],
    ]),
  })
  folder = await makeLogFolder()
  const owner = { environmentId: 7, app: 'shop', environment: 'test', release: null }
  const db = { query: <R>() => Promise.resolve([owner] as R[]) }
  const feed = proxy.requests
  if (feed === null) throw new Error('The proxy tells nothing.')
  const journals = makeTestJournals(folder)
  const parts = { feed, failedAnswers, journals, db, folder, clock: systemClock, logger: silentLogger }
  keeping = keepRequests(parts, over.signal).then(() => journals.close())
})

afterAll(async () => {
  over.abort()
  await keeping
  await Promise.all([app.close(), older.close()])
  await proxy.remove()
  await rm(folder, { recursive: true, force: true })
})

const askTimes = async (times: number, host: string, path = '/'): Promise<Set<number>> => {
  const answers = await Promise.all(Array.from({ length: times }, () => ask(proxy.port, host, { path })))
  return new Set(answers.map(({ status }) => status))
}

it('is the share of all its answers, whoever else of the environment answers with errors', async () => {
  const counted = countAnswers({ router: proxy.router, failedAnswers }, 2, [app.target])
  expect(await counted.read()).toEqual({ total: 0, failed: 0 })
  expect(await askTimes(30, 'test--shop.localhost')).toEqual(new Set([200]))
  expect(await askTimes(2, 'test--shop.localhost', '/broken')).toEqual(new Set([500]))
  expect(await askTimes(1, 'v2--test--shop.localhost', '/broken')).toEqual(new Set([500]))
  // An older release that is awake, one that sleeps, and the page of a site that is being worked on.
  expect(await askTimes(25, 'v1--test--shop.localhost')).toEqual(new Set([500]))
  expect(await askTimes(25, 'v99--test--shop.localhost')).toEqual(new Set([503]))
  await proxy.router.setRules(7, {
    ...{ passwords: [], allowed: [], limits: null },
    maintenance: { message: 'Soon', allowed: [] },
  })
  await proxy.router.addHost('test--shop.localhost', 'e7/m/7')
  expect(await askTimes(25, 'test--shop.localhost')).toEqual(new Set([503]))
  await proxy.router.addHost('test--shop.localhost', 'e7')
  await until(async () => (await counted.read()).failed === 3, 5_000, 'the errors')
  expect(await counted.read()).toEqual({ total: 33, failed: 3 })

  // Two threads may end two that are alike at once.
  for (let i = 0; i < 15; i += 1) await askTimes(40, 'test--shop.localhost', '/broken')
  await until(async () => (await counted.read()).failed >= 603, 5_000, 'the errors')
  expect(await counted.read()).toEqual({ total: 633, failed: 603 })

  // What does not listen any more fails, too.
  await app.close()
  expect(await askTimes(4, 'test--shop.localhost')).toEqual(new Set([503]))
  await until(async () => (await counted.read()).failed >= 607, 5_000, 'the errors')
  expect(await counted.read()).toEqual({ total: 637, failed: 607 })
  counted.end()
})
