import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { countCommands, newestDeploy, readLog, residentMb, untilAllEnded, untilRetired } from '../support/crashes.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { visit } from '../support/visitor.ts'

/** Slipway with a PostgreSQL of its own, which is killed and frozen. */
describe('a database that is away', () => {
  let slipway: Slipway
  let clone: Clone

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway({ DATABASE_URL: '' })
    await slipway.start()
    clone = await makeClone(slipway, 'shop')
    await clone.write(page('one'))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
  })

  afterAll(async () => {
    await clone.remove()
    expect(await slipway.remove()).toEqual([])
  })

  const postmaster = (): number =>
    Number(readFileSync(join(slipway.dataDir, 'postgres/control/postmaster.pid'), 'utf8').split('\n')[0])
  /** The server and all its backends: they work in its data folder. */
  const processes = (): number[] =>
    readdirSync('/proc').flatMap((entry) => {
      try {
        return readlinkSync(`/proc/${entry}/cwd`) === join(slipway.dataDir, 'postgres/control') ? [Number(entry)] : []
      } catch {
        return []
      }
    })
  /** A backend may end by itself before its turn. */
  const signalAll = (signal: NodeJS.Signals): void =>
    processes().forEach((pid) => {
      try {
        process.kill(pid, signal)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    })
  const untilSaid = (text: string): Promise<void> =>
    waitFor(`“${text}” in the log`, 30_000, async () => {
      const { id } = await newestDeploy(slipway)
      return (await slipway.sql('select 1 from deploy_log where deploy_id = $1 and text = $2', [id, text])).length > 0
    })
  const killDatabase = async (): Promise<void> => {
    const pid = postmaster()
    process.kill(pid, 'SIGKILL')
    await waitFor('the database to answer again', 30_000, () =>
      slipway.sql('select 1').then(
        () => postmaster() !== pid,
        () => false,
      ),
    )
  }

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
    await killDatabase()
    await untilSaid('command 2')
    await killDatabase()
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
    signalAll('SIGSTOP')
    try {
      for (const path of ['/apps', '/apps/shop/status']) {
        const asked = Date.now()
        const answer = await slipway.api('GET', path)
        expect(answer.status).toBe(503)
        expect(Date.now() - asked).toBeLessThan(30_000)
      }
      expect((await slipway.get('slipway.localhost', '/readyz')).status).toBe(503)
    } finally {
      signalAll('SIGCONT')
    }
    await waitFor('the API to answer', 30_000, async () => (await slipway.api('GET', '/apps')).status === 200)
    expect(await visitor.stop()).toEqual([])
  })

  it('together with Slipway takes no site down, and the next start finds everything', async () => {
    const visitor = visit(slipway.port, 'test--shop.localhost', ['two'])
    await slipway.stop('SIGKILL')
    signalAll('SIGKILL')
    await new Promise((done) => setTimeout(done, 500))
    await slipway.start()
    await clone.write({ 'www/index.html': 'two\n', 'www/other': 'x\n' })
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    expect(await visitor.stop()).toEqual([])
    expect(await residentMb(slipway)).toBeLessThan(150)
  })
})
