import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { countCommands, newestDeploy, readLog, residentMb, untilAllEnded, untilRetired } from '../support/crashes.ts'
import { type OwnDatabase, ownDatabaseOf } from '../support/own-database.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { visit } from '../support/visitor.ts'

/** Slipway with a PostgreSQL of its own, which is killed and frozen. */
describe('a database that is away', () => {
  let slipway: Slipway
  let clone: Clone
  let database: OwnDatabase

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway({ DATABASE_URL: '' })
    database = ownDatabaseOf(slipway)
    await slipway.start()
    clone = await makeClone(slipway, 'shop')
    await clone.write(page('one'))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
  })

  afterAll(async () => {
    await clone.remove()
    expect(await slipway.remove()).toEqual([])
  })

  const untilSaid = (text: string): Promise<void> =>
    waitFor(`“${text}” in the log`, 30_000, async () => {
      const { id } = await newestDeploy(slipway)
      return (await slipway.sql('select 1 from deploy_log where deploy_id = $1 and text = $2', [id, text])).length > 0
    })
  it('fails no deploy when it is killed: twice in one, which goes live with nothing done or said twice', async () => {
    const visitor = visit(slipway.port, 'test--shop.localhost', ['one', 'two'])
    const countStarted = countCommands(slipway)
    const talk = (who: string): string => `for i in 1 2 3 4 5 6 7 8; do echo ${who} $i; sleep 0.4; done`
    await clone.write(
      page('two', {
        Dockerfile: `FROM slipway-test/busybox:1\nCOPY www /www\nRUN ${talk('build')}\nCMD ["/bin/sh", "-c", "exec httpd -f -p $PORT -h /www"]\n`,
        'slipway.yml': `drain: 2s\nstop: 1s\nrelease: [{ label: migrate, run: "${talk('command')}" }]\n`,
      }),
    )
    await clone.push('develop', '-o', 'nowait')
    await untilSaid('build 2')
    await database.endAndWait('SIGKILL')
    await untilSaid('command 2')
    await database.endAndWait('SIGKILL')
    await untilAllEnded(slipway)
    await untilRetired(slipway)
    const deploy = await newestDeploy(slipway)
    expect(deploy.state).toBe('live')
    const said = (await readLog(slipway, deploy.id)).map(({ text }) => text)
    for (const who of ['build', 'command']) {
      const lines = said.filter((text) => text.startsWith(`${who} `) && text.length === who.length + 2)
      expect(lines).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((i) => `${who} ${i}`))
    }
    expect(await countStarted()).toBe(1)
    expect(await visitor.stop()).toEqual([])
  })

  it('leaves the server its place in the database: it is held again, and no second server gets in', async () => {
    await waitFor('the lock to be held', 30_000, async () => {
      const held = await slipway.sql(
        `select 1 from pg_locks l join pg_stat_activity a using (pid)
         where l.locktype = 'advisory' and l.objid = 7240001 and l.granted and a.application_name = 'slipway lock'`,
      )
      return held.length === 1
    })
  })

  it('that is frozen is told by the API within seconds, sites go on, and so does everything when it thaws', async () => {
    const visitor = visit(slipway.port, 'test--shop.localhost', ['two'])
    database.signalAll('SIGSTOP')
    try {
      for (const path of ['/apps', '/apps/shop/status']) {
        const asked = Date.now()
        const answer = await slipway.api('GET', path)
        expect(answer.status).toBe(503)
        expect(Date.now() - asked).toBeLessThan(30_000)
      }
      expect((await slipway.get('slipway.localhost', '/readyz')).status).toBe(503)
    } finally {
      database.signalAll('SIGCONT')
    }
    await waitFor('the API to answer', 30_000, async () => (await slipway.api('GET', '/apps')).status === 200)
    expect(await visitor.stop()).toEqual([])
    await waitFor('the outage to be told', 60_000, async () => {
      const told = await slipway.sql<{ seconds: number }>(
        `select (data ->> 'seconds')::int as seconds from events where kind = 'server.database-back'`,
      )
      return told.some(({ seconds }) => seconds >= 3 && seconds < 90)
    })
  })

  it.each(['SIGINT', 'SIGSTOP'] as const)(
    'gets %s in the middle of a deploy: that waits, and goes live',
    async (by) => {
      const visitor = visit(slipway.port, 'test--shop.localhost', ['two'])
      const talk = 'cat /proc/sys/kernel/random/uuid; for i in 1 2 3 4 5 6 7 8; do echo at $i; sleep 1; done'
      await clone.write(
        page('two', { by, 'slipway.yml': `drain: 2s\nstop: 1s\nrelease: [{ label: migrate, run: "${talk}" }]\n` }),
      )
      await clone.push('develop', '-o', 'nowait')
      await untilSaid('at 2')
      if (by === 'SIGINT') await database.endAndWait(by)
      else {
        // Longer than a statement may take.
        database.signalAll(by)
        await new Promise((done) => setTimeout(done, 8_000))
        database.signalAll('SIGCONT')
      }
      await untilAllEnded(slipway)
      const { id, state } = await newestDeploy(slipway)
      expect(state).toBe('live')
      const said = (await readLog(slipway, id)).map(({ text }) => text)
      expect(said.filter((text) => text.startsWith('at '))).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((i) => `at ${i}`))
      expect(said.filter((text) => /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(text))).toHaveLength(1)
      await untilRetired(slipway)
      expect(await visitor.stop()).toEqual([])
    },
  )

  it('that is frozen keeps no server from ending', async () => {
    database.signalAll('SIGSTOP')
    try {
      const begun = Date.now()
      await slipway.stop()
      // systemd would kill it after 90 s.
      expect(Date.now() - begun).toBeLessThan(60_000)
    } finally {
      database.signalAll('SIGCONT')
    }
    await slipway.start()
    expect((await slipway.get('test--shop.localhost')).status).toBe(200)
  })

  it('together with Slipway takes no site down, and the next start finds everything', async () => {
    const visitor = visit(slipway.port, 'test--shop.localhost', ['two'])
    await slipway.stop('SIGKILL')
    database.signalAll('SIGKILL')
    await new Promise((done) => setTimeout(done, 500))
    await slipway.start()
    await clone.write({ 'www/index.html': 'two\n', 'www/other': 'x\n' })
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    expect(await visitor.stop()).toEqual([])
    const told = await slipway.sql<{ untold: string }>(
      `select data ->> 'untold' as untold from events where kind = 'server.started' order by id`,
    )
    // First it was told to stop, although the database could not hear of it; then it was killed.
    expect(told.map(({ untold }) => untold)).toEqual(['false', 'false', 'true'])
    expect(await residentMb(slipway)).toBeLessThan(150)
  })
})
