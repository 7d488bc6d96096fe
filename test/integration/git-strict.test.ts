import { afterEach, describe, expect, it } from '@jest/globals'
import { heldRefs, zeroId } from '../../src/git/index.ts'
import type { Transaction } from '../../src/postgres/database.ts'
import { type Clone, eventually, type GitServer } from '../support/git-server.ts'
import { withOwnApp } from '../support/own-app.ts'

let server: GitServer
let clone: Clone
let app: string
withOwnApp((own) => ({ server, clone, app } = own))
afterEach(async () => {
  // A push is closed before its commits are let go of.
  await eventually(
    () => hiddenRefs(heldRefs.ofPushes),
    ({ size }) => size === 0,
  )
  expect(await server.db.query('select 1 from ref_leases')).toEqual([])
})

const hiddenRefs = (prefix: string): Promise<ReadonlyMap<string, string>> =>
  server.cli.repositories.listRefs(app, prefix)
const head = (branch = 'main'): Promise<string | null> => server.cli.repositories.resolveBranch(app, branch)
const pushStrict = (...refs: string[]) => clone.git('push', '-o', 'strict', 'divio', ...refs)

/** What the queue would do, when the deploys of the push are there. */
async function endDeploys(ends: Readonly<Record<string, 'live' | 'failed'>>): Promise<void> {
  await untilQueued(Object.keys(ends).length)
  for (const [name, state] of Object.entries(ends)) {
    const { id } = await server.environments.get(app, name)
    await server.db.query(
      `update deploys set state = $2, finished_at = now() where environment_id = $1 and state = 'waiting'`,
      [id, state],
    )
  }
}

const untilQueued = (deploys: number): Promise<unknown> =>
  eventually(
    () => server.db.query(`select 1 from deploys where swap_agreed is not null and state = 'waiting'`),
    ({ length }) => length === deploys,
  )

const lastPush = async (): Promise<{ id: number; state: string } | undefined> =>
  (await server.db.query<{ id: number; state: string }>('select id, state from pushes order by id desc limit 1'))[0]

/** A commit that is there before, and live that deploys what is pushed to main, too. */
async function twoEnvironments(): Promise<string> {
  const first = await clone.commit('a.txt', 'a')
  await clone.git('push', '-q', '-o', 'skip-deploy', 'divio', 'main')
  await server.environments.change(app, 'live', { deployOnPush: true })
  return first
}

describe('a strict push', () => {
  it('moves its branch when its deploy is live: of a new app, too', async () => {
    const commit = await clone.commit('a.txt', 'a')
    const pushing = pushStrict('main')
    await untilQueued(1)
    expect(await head()).toBeNull()
    expect((await server.environments.getApp(app)).defaultBranch).toBeNull()
    await endDeploys({ test: 'live' })
    const { code, output } = await pushing
    expect(output).toContain('Strict: main moves when test is live, and else not')
    expect(output).toContain(`Accepted: main is at ${commit.slice(0, 10)} now`)
    expect(output).toContain('* [new branch]      main -> main')
    expect([code, await head()]).toEqual([0, commit])
    expect((await server.environments.getApp(app)).defaultBranch).toBe('main')
    expect(await server.db.query('select head from branches where head = $1', [commit])).toHaveLength(1)
  })

  it('is rejected, and its branch stays, when a deploy does not go live', async () => {
    const before = await twoEnvironments()
    await clone.commit('a.txt', 'b')
    const pushing = pushStrict('main')
    await endDeploys({ test: 'failed', live: 'failed' })
    const { code, output } = await pushing
    expect(output).toContain('Strict: main moves when test and live are live, and else not')
    expect(output).toMatch(
      /! \[remote rejected\] main -> main \(strict: deploy \d+ to test: failed, deploy \d+ to live: failed\)/,
    )
    expect(output).toMatch(/Rejected, strict: .*\. No branch has moved\./)
    expect([code, await head()]).toEqual([1, before])
    expect(await lastPush()).toMatchObject({ state: 'rejected' })
    // The commits of its deploys stay for whoever looks at them.
    expect((await hiddenRefs(heldRefs.ofDeploys)).size).toBe(2)
    const events = await server.db.query(`select 1 from events where kind = 'push.rejected'`)
    expect(events).toHaveLength(1)
  })

  it('says where it is live when another swap failed, and is rejected', async () => {
    const before = await twoEnvironments()
    await clone.commit('a.txt', 'b')
    const pushing = pushStrict('main')
    await endDeploys({ test: 'live', live: 'failed' })
    const { code, output } = await pushing
    expect(output).toMatch(/Rejected, strict: deploy \d+ to live: failed; it is live in test\. No branch has moved\./)
    expect(output).toContain('test serves this push. To go back: slipway rollback test')
    expect([code, await head()]).toEqual([1, before])
  })

  it('holds its branch: another push to it is told to wait, one to another branch is not', async () => {
    const before = await twoEnvironments()
    await clone.commit('a.txt', 'b')
    const pushing = pushStrict('main', 'main:refs/tags/v1')
    await untilQueued(2)
    const { id } = (await lastPush()) as { id: number }
    const told = `a strict push of admin goes first \\(push ${id}, since [-0-9: ]+ UTC\\); try again when its deploys have ended`
    for (const options of [[], ['-o', 'strict'], ['-f']]) {
      const other = await clone.git('push', ...options, 'divio', 'main')
      expect(other.output).toMatch(new RegExp(`! \\[remote rejected\\] main -> main \\(${told}\\)`))
      expect(other.code).toBe(1)
    }
    expect((await clone.git('push', 'divio', 'main:feature')).code).toBe(0)
    expect(await head()).toBe(before)
    await endDeploys({ test: 'live', live: 'live' })
    const { code, output } = await pushing
    expect(output).toContain('* [new tag]         main -> v1')
    expect(code).toBe(0)
    expect((await clone.git('push', 'divio', 'main:main')).code).toBe(0)
  })

  it('moves all of its refs or none', async () => {
    await twoEnvironments()
    await clone.commit('a.txt', 'b')
    const { code, output } = await pushStrict('main', 'main:refs/changes/1')
    expect(output).toContain('a strict push moves all or nothing')
    expect([code, server.deploys.requests.length]).toEqual([1, 0])
  })

  it('of what nobody follows is accepted at once', async () => {
    await twoEnvironments()
    const { code, output } = await pushStrict('main:feature')
    expect(output).toContain('no environment follows this branch')
    expect([code, await head('feature')]).toEqual([0, await head()])
  })

  it('is rejected when its branch was moved by hand meanwhile', async () => {
    await twoEnvironments()
    await clone.commit('a.txt', 'b')
    const pushing = pushStrict('main')
    await untilQueued(2)
    const old = (await head()) as string
    await server.cli.repositories.moveRefs(app, [{ ref: 'refs/heads/main', old, new: zeroId }])
    await endDeploys({ test: 'live', live: 'live' })
    const { code, output } = await pushing
    expect(output).toContain('all deploys are live, but a branch was moved meanwhile')
    expect([code, await head()]).toEqual([1, null])
  })
})

describe('a strict push and others of the same branch at the same moment', () => {
  /** Whoever is about to note down a push waits meanwhile: what it has looked up before is old then. */
  async function whileNobodyNotes(work: (tx: Transaction) => Promise<void>): Promise<void> {
    const { id } = await server.environments.getApp(app)
    await server.db.transaction(async (tx) => {
      await tx.query('select 1 from apps where id = $1 for no key update', [id])
      await work(tx)
    })
  }
  const untilSomebodyWaits = (): Promise<unknown> =>
    eventually(
      () =>
        // Of this database: the other test files' are in the same cluster.
        server.db.query(
          `select 1 from pg_locks join pg_stat_activity using (pid) where not granted and datname = current_database()`,
        ),
      ({ length }) => length > 0,
    )

  it('keeps out one that had seen no lease', async () => {
    const before = await twoEnvironments()
    await clone.commit('a.txt', 'b')
    const { id: appId } = await server.environments.getApp(app)
    const pushes: ReturnType<Clone['git']>[] = []
    await whileNobodyNotes(async (tx) => {
      pushes.push(clone.git('push', 'divio', 'main'))
      await untilSomebodyWaits()
      await tx.query(
        `with p as (insert into pushes (app_id, pushed_by, state, updates, deploy_count) values ($1, 'ada', 'strict', '[]', 1)
           returning id)
         insert into ref_leases (app_id, ref, push_id) select $1, 'refs/heads/main', id from p`,
        [appId],
      )
    })
    const [{ code, output } = { code: 0, output: '' }] = await Promise.all(pushes)
    expect(output).toMatch(/! \[remote rejected\] main -> main \(a strict push of ada goes first \(push /)
    expect([code, await head()]).toEqual([1, before])
    await server.db.query(`delete from pushes where pushed_by = 'ada'`)
  })

  it('is not begun while one is let in that has not moved it yet', async () => {
    const before = await twoEnvironments()
    const commit = await clone.commit('a.txt', 'b')
    const { id: appId } = await server.environments.getApp(app)
    const note = (old: string): Promise<unknown> =>
      server.db.query(
        `insert into pushes (app_id, pushed_by, state, updates) values ($1, 'ada', 'receiving', $2) returning id`,
        [appId, JSON.stringify([{ ref: 'refs/heads/main', old, new: commit }])],
      )
    await note(before)
    const { code, output } = await pushStrict('main')
    expect(output).toContain('a push of ada moves refs/heads/main at this moment')
    expect([code, await head()]).toEqual([1, before])
    expect(await lastPush()).toMatchObject({ state: 'lost' })
    // One that would move it from elsewhere cannot any more.
    await server.db.query(`delete from pushes where pushed_by = 'ada'`)
    await note(zeroId)
    const pushing = pushStrict('main')
    await endDeploys({ test: 'live', live: 'live' })
    expect([(await pushing).code, await head()]).toEqual([0, commit])
    await server.db.query(`delete from pushes where pushed_by = 'ada'`)
  })

  it('is not begun when one has moved it since: nothing is deployed for nothing', async () => {
    const before = await twoEnvironments()
    const first = await clone.commit('a.txt', 'b')
    await clone.git('push', '-q', '-o', 'skip-deploy', 'divio', 'main:other')
    await clone.commit('a.txt', 'c')
    const pushes: ReturnType<Clone['git']>[] = []
    await whileNobodyNotes(async () => {
      pushes.push(pushStrict('main'))
      await untilSomebodyWaits()
      await server.cli.repositories.moveRefs(app, [{ ref: 'refs/heads/main', old: before, new: first }])
    })
    const [{ code, output } = { code: 0, output: '' }] = await Promise.all(pushes)
    expect(output).toContain('refs/heads/main was moved while this push was on its way')
    expect([code, await head(), server.deploys.requests.length]).toEqual([1, first, 0])
  })

  it('asks for its deploys in the order of the environments, whatever that of its branches is', async () => {
    await twoEnvironments()
    await server.environments.change(app, 'test', { branch: 'z' })
    await server.environments.change(app, 'live', { branch: 'a' })
    for (const branches of [
      ['z', 'a'],
      ['a', 'z'],
    ]) {
      await clone.commit('a.txt', branches.join(''))
      server.deploys.requests.length = 0
      const pushing = pushStrict(...branches.map((branch) => `main:${branch}`))
      await untilQueued(2)
      const asked = server.deploys.requests.map(({ environmentId }) => environmentId)
      expect(asked).toEqual(asked.toSorted((a, b) => a - b))
      await endDeploys({ test: 'live', live: 'live' })
      expect((await pushing).code).toBe(0)
    }
    // The environments are in the order in which they were made; their branches are not.
    await server.environments.change(app, 'test', { branch: 'a' })
    await server.environments.change(app, 'live', { branch: 'z' })
    await clone.commit('a.txt', 'last')
    server.deploys.requests.length = 0
    expect((await clone.git('push', '-o', 'nowait', 'divio', 'main:z', 'main:a')).code).toBe(0)
    const asked = server.deploys.requests.map(({ environmentId }) => environmentId)
    expect(asked).toEqual(asked.toSorted((a, b) => a - b))
    await server.db.query(`update deploys set state = 'live', finished_at = now() where state = 'waiting'`)
  })
})

describe('a strict push goes on without its client', () => {
  it('when Slipway was stopped: the next start settles it', async () => {
    await twoEnvironments()
    const commit = await clone.commit('a.txt', 'b')
    const pushing = pushStrict('main')
    await untilQueued(2)
    await server.restartGit()
    const { code, output } = await pushing
    expect(output).toContain('This strict push is neither accepted nor rejected yet')
    expect(code).toBe(1)
    expect((await hiddenRefs(heldRefs.ofPushes)).size).toBe(1)
    expect((await clone.git('push', 'divio', 'main')).output).toContain('try again when its deploys have ended')
    await endDeploys({ test: 'live', live: 'live' })
    await eventually(
      () => head(),
      (at) => at === commit,
    )
  })

  it('when it had moved its branch, but not written that down', async () => {
    const before = await twoEnvironments()
    const commit = await clone.commit('a.txt', 'b')
    const pushing = pushStrict('main')
    await untilQueued(2)
    server.git.stop()
    await pushing
    await server.cli.repositories.moveRefs(app, [{ ref: 'refs/heads/main', old: before, new: commit }])
    await endDeploys({ test: 'live', live: 'live' })
    await server.restartGit()
    await eventually(lastPush, (push) => push?.state === 'received')
    expect(await head()).toBe(commit)
  })

  it('when a deploy failed while Slipway was away: the branch stays, and the lease ends', async () => {
    const before = await twoEnvironments()
    await clone.commit('a.txt', 'b')
    const pushing = pushStrict('main')
    await untilQueued(2)
    server.git.stop()
    await pushing
    await endDeploys({ test: 'failed', live: 'failed' })
    await server.restartGit()
    await server.restartGit()
    await eventually(lastPush, (push) => push?.state === 'rejected')
    expect(await head()).toBe(before)
  })

  it('not when it had only been noted down', async () => {
    await twoEnvironments()
    const commit = await clone.commit('a.txt', 'b')
    const { id: appId } = await server.environments.getApp(app)
    const update = { ref: 'refs/heads/main', old: await head(), new: commit }
    const rows = await server.db.query<{ id: number }>(
      `insert into pushes (app_id, pushed_by, state, updates, options) values ($1, 'ada', 'receiving', $2, '["strict"]')
       returning id`,
      [appId, JSON.stringify([update])],
    )
    await clone.git('push', '-q', '-o', 'skip-deploy', 'divio', 'main:kept')
    await server.cli.repositories.moveRefs(app, [
      { ref: `${heldRefs.ofPush(rows[0]?.id as number)}0`, old: null, new: commit },
    ])
    await server.restartGit()
    expect(await server.db.query('select state from pushes where id = $1', [rows[0]?.id])).toEqual([{ state: 'lost' }])
    expect(server.deploys.requests).toEqual([])
  })
})
