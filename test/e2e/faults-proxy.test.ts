import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { newestDeploy, untilAllEnded, untilRetired } from '../support/crashes.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { type Visitor, visit } from '../support/visitor.ts'

/** Slipway's HAProxy is killed and frozen while deploys run, in the step before their swap and in it. */
describe('a proxy that', () => {
  let slipway: Slipway
  let clone: Clone
  let other: Clone

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway()
    await slipway.start()
    clone = await makeClone(slipway, 'shop')
    other = await makeClone(slipway, 'blog')
    await clone.write(page('one'))
    await other.write(page('other'))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    expect((await other.push('develop')).results).toMatchObject([{ status: 'live' }])
  })

  afterAll(async () => {
    await clone.remove()
    await other.remove()
    expect(await slipway.remove()).toEqual([])
  })

  const findProxy = (): Promise<number | null> =>
    readFile(join(slipway.dataDir, 'run/proxy.pid'), 'utf8').then(
      (text) => Number(text) || null,
      () => null,
    )
  const signalProxy = async (signal: NodeJS.Signals): Promise<number> => {
    const pid = await findProxy()
    if (pid === null) throw new Error('there is no proxy')
    process.kill(pid, signal)
    return pid
  }
  /** Each answer must come from the app that was asked, so neither may say what the other says. */
  const visitBoth = (...good: string[]): [Visitor, Visitor] => [
    visit(slipway.port, 'test--shop.localhost', good),
    visit(slipway.port, 'test--blog.localhost', ['other']),
  ]
  const pushAndReach = async (text: string, step: string, pause = ''): Promise<void> => {
    const command = pause === '' ? '' : `release: [{ label: migrate, run: "sleep ${pause}" }]\n`
    await clone.write(page(text, { 'slipway.yml': `drain: 2s\nstop: 1s\n${command}` }))
    await clone.push('develop', '-o', 'nowait')
    await waitFor(`the step ${step}`, 30_000, async () => (await newestDeploy(slipway)).step === step)
  }
  const ask = (command: string): Promise<string> =>
    new Promise((done, fail) => {
      const socket = connect(join(slipway.dataDir, 'run/proxy.sock'), () => socket.write(`${command}\n`))
      let text = ''
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
      socket.on('error', fail)
      socket.on('end', () => done(text))
    })

  /** Nothing but the maps says where requests go: file and process must hold the same, and lead to what the database says. */
  const expectLevel = async (): Promise<void> => {
    for (const map of ['hosts', 'routes', 'targets']) {
      const path = join(slipway.dataDir, 'proxy/maps', `${map}.map`)
      const held = (await ask(`show map ${path}`)).split('\n').map((line) => line.split(' ').slice(1).join(' '))
      const file = (await readFile(path, 'utf8')).split('\n').filter((line) => !line.startsWith('#'))
      expect(held.filter(Boolean).sort()).toEqual(file.filter(Boolean).sort())
    }
  }

  it('is killed in the middle of a deploy is back within seconds, leads to the right app, and the deploy goes live', async () => {
    const visitors = visitBoth('one', 'two')
    await pushAndReach('two', 'release-commands', '2')
    const killed = Date.now()
    const killedPid = await signalProxy('SIGKILL')
    // Nobody has one while the next one is started.
    await waitFor('another proxy', 30_000, async () => ![null, killedPid].includes(await findProxy()))
    await waitFor('a site to answer', 30_000, () =>
      slipway.get('test--blog.localhost').then(
        ({ status }) => status === 200,
        () => false,
      ),
    )
    const back = Date.now()
    await untilAllEnded(slipway)
    expect((await newestDeploy(slipway)).state).toBe('live')
    await untilRetired(slipway)
    const refused = visitors.flatMap((visitor) => visitor.refused())
    await Promise.all(visitors.map((visitor) => visitor.stop()))
    // Only what was on its way while nobody listened, and then only by a broken connection.
    expect(refused.filter(({ from, until }) => until < killed || from > back)).toEqual([])
    expect(refused.filter(({ answer }) => !/ECONNREFUSED|ECONNRESET|hang up/.test(answer))).toEqual([])
    expect((await slipway.get('test--shop.localhost')).body).toBe('two\n')
    await expectLevel()
  })

  it('is frozen for a moment before the swap delays requests and fails none', async () => {
    const visitors = visitBoth('two', 'three')
    await pushAndReach('three', 'release-commands', '1')
    await signalProxy('SIGSTOP')
    await new Promise((done) => setTimeout(done, 1_500))
    await signalProxy('SIGCONT')
    await untilAllEnded(slipway)
    expect((await newestDeploy(slipway)).state).toBe('live')
    await untilRetired(slipway)
    expect((await Promise.all(visitors.map((visitor) => visitor.stop()))).flat()).toEqual([])
    await expectLevel()
  })

  it('hangs during the swap is believed by nobody: what serves after it is what the deploy says', async () => {
    const visitors = visitBoth('three', 'four')
    await pushAndReach('four', 'release-commands', '4')
    await signalProxy('SIGSTOP')
    try {
      await waitFor('the swap to have given up', 60_000, async () => {
        const failed = await slipway.sql(
          `select 1 from deploys where state in ('waiting', 'running') and error_code is not null`,
        )
        return failed.length > 0 || (await newestDeploy(slipway)).state === 'failed'
      })
    } finally {
      await signalProxy('SIGCONT')
    }
    await untilAllEnded(slipway)
    // A command that waited in the frozen proxy is carried out when it goes on.
    await new Promise((done) => setTimeout(done, 1_000))
    const { state } = await newestDeploy(slipway)
    await waitFor('route and deploy to agree', 30_000, async () => {
      const { body } = await slipway.get('test--shop.localhost')
      return body === (state === 'live' ? 'four\n' : 'three\n')
    })
    await untilRetired(slipway)
    // The visits wait up to 20 s for an answer.
    const bad = (await Promise.all(visitors.map((visitor) => visitor.stop()))).flat()
    expect(bad).toEqual([])
    await expectLevel()
    await waitFor('the outage to be told', 60_000, async () => {
      return (await slipway.sql(`select 1 from events where kind = 'server.proxy-back'`)).length > 0
    })
  })
})
