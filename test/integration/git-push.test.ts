import { beforeEach, describe, expect, it } from '@jest/globals'
import { clearLock, setLock } from '../../src/environments/index.ts'
import { type Clone, eventually, expectNothingLeft, type GitServer, makeClone } from '../support/git-server.ts'
import { withOwnApp } from '../support/own-app.ts'

let server: GitServer
let clone: Clone
let app: string
withOwnApp((own) => ({ server, clone, app } = own))

const remoteRefs = async (): Promise<string[]> =>
  (await clone.git('ls-remote', 'divio')).output
    .trim()
    .split('\n')
    .map((line) => line.split('\t')[1] ?? '')

describe('a push', () => {
  it('makes an app that does not exist, with test and live, and deploys to test', async () => {
    const commit = await clone.commit('a.txt', 'a')
    const { code, output } = await clone.git('push', 'divio', 'main')
    expect(output).toContain(`New app ${app}, with the environments test and live`)
    expect(output).toMatch(/remote: -----> Received main \([0-9a-f]{10}\)/)
    expect(output).toContain('remote: -----> Building')
    expect(output).toMatch(/remote: slipway: deploy=\d+ environment=test release=v1 status=live/)
    expect(output).toContain('* [new branch]      main -> main')
    expect(code).toBe(0)
    expect(server.deploys.requests).toMatchObject([{ kind: 'push', branch: 'main', commit, requestedBy: 'admin' }])
    expect(await remoteRefs()).toEqual(['HEAD', 'refs/heads/main'])
  })

  it('tells apart what is new, a fast-forward, and what is not', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', 'main')
    await clone.commit('a.txt', 'b')
    const second = await clone.git('push', 'divio', 'main')
    expect(second.output).toMatch(/[0-9a-f]{7}\.\.[0-9a-f]{7} +main -> main/)
    expect(second.output).toContain(`live follows it; deploy it with: slipway deploy live -a ${app}`)
    expect(second.output).not.toContain('New app')
    expect((await clone.git('rev-parse', 'divio/main')).output).toBe((await clone.git('rev-parse', 'main')).output)
  })

  it('is refused by an app that is being removed, whose repository goes once nobody pushes', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', 'main')
    await server.db.query('update apps set removing_since = now() where name = $1', [app])
    await clone.commit('a.txt', 'b')
    const refused = await clone.git('push', 'divio', 'main')
    expect(refused.code).not.toBe(0)
    expect(refused.output).toContain(`The app ${app} is being removed.`)
    await server.git.removeRepository(app, AbortSignal.timeout(10_000))
    expect(await server.cli.repositories.exists(app)).toBe(false)
    await server.git.removeRepository(app, AbortSignal.timeout(10_000))
  })

  it('lets the commits of forgotten deploys go', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', 'main')
    const held = (): Promise<ReadonlyMap<string, string>> => server.cli.repositories.listRefs(app, 'refs/slipway/')
    const [ref = ''] = (await held()).keys()
    await server.git.forgetDeploys(app, [Number(ref.split('/').at(-1)), 999_999])
    expect(await held()).toEqual(new Map())
    await server.git.forgetDeploys('nothing-here', [1])
  })

  it('keeps what is pushed to a locked environment, says why it is not deployed, and takes it after the unlock', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', 'main')
    const { id } = await server.environments.get(app, 'test')
    const wish = { reason: 'the big sale', waits: false, allowsRollbacks: false }
    await server.db.transaction((tx) => setLock(tx, id, wish, { by: 'anna' }))
    const commit = await clone.commit('a.txt', 'b')
    const { code, output } = await clone.git('push', 'divio', 'main')
    expect(code).toBe(0)
    expect(output).toMatch(/test is locked by anna since 20.* UTC: “the big sale”/)
    expect(output).toContain('slipway: deploy=- environment=test release=- status=skipped')
    expect(await server.cli.repositories.resolveBranch(app, 'main')).toBe(commit)
    expect(server.deploys.requests.map((request) => request.commit)).not.toContain(commit)
    await server.db.transaction((tx) => clearLock(tx, id, { by: 'anna' }))
    const later = await clone.commit('a.txt', 'c')
    await clone.git('push', '-q', 'divio', 'main')
    expect(server.deploys.requests.at(-1)?.commit).toBe(later)
  })

  it('says that an environment is held, and deploys nothing there', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', 'main')
    const asked = server.deploys.requests.length
    await server.environments.change(app, 'test', { held: true })
    await clone.commit('a.txt', 'b')
    const { code, output } = await clone.git('push', 'divio', 'main')
    expect([code, server.deploys.requests.length]).toEqual([0, asked])
    expect(output).toContain('test follows it, but is held')
    expect(output).toMatch(/remote: slipway: deploy=- environment=test release=- status=skipped/)
  })

  it.each([[[]], [['-o', 'strict']]])('waits for somebody who is just going back with a hold (%j)', async (options) => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', 'main')
    const { id } = await server.environments.get(app, 'test')
    await clone.commit('a.txt', 'b')
    const asked = server.deploys.requests.length
    const pushing = await server.db.transaction(async (tx) => {
      await tx.query('select 1 from environments where id = $1 for no key update', [id])
      await tx.query(
        `insert into deploys (environment_id, kind, commit, requested_by, state, holds) values ($1, 'rollback', 'x', 'ada', 'waiting', true)`,
        [id],
      )
      const push = clone.git('push', ...options, 'divio', 'main')
      const waits = `select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`
      await eventually(
        () => server.db.query(waits),
        ({ length }) => length > 0,
      )
      return { push }
    })
    const { code, output } = await pushing.push
    expect(output).toContain('test follows it, but is held')
    expect([code, server.deploys.requests.length]).toEqual([0, asked])
  })

  it('takes several branches, tags and notes at once and deploys what is followed', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('branch', 'feature/x')
    await clone.git('tag', 'light')
    await clone.git('tag', '-a', 'annotated', '-m', 'x')
    await clone.git('notes', 'add', '-m', 'a note')
    const refs = ['main', 'feature/x', 'light', 'annotated', 'refs/notes/commits']
    const { code, output } = await clone.git('push', 'divio', ...refs)
    expect(code).toBe(0)
    expect(output).toContain('* [new tag]         annotated -> annotated')
    expect(output).toContain('-----> Kept 2 tags; tags deploy nothing, branches do')
    expect(output).toContain('* [new reference]   refs/notes/commits -> refs/notes/commits')
    expect(output).toContain('no environment follows this branch')
    expect(output).toContain(`slipway envs set test --branch feature/x -a ${app}`)
    expect(server.deploys.requests.map(({ branch }) => branch)).toEqual(['main'])
    expect(await remoteRefs()).toEqual([
      'HEAD',
      'refs/heads/feature/x',
      'refs/heads/main',
      'refs/notes/commits',
      'refs/tags/annotated',
      'refs/tags/annotated^{}',
      'refs/tags/light',
    ])
  })

  it('deletes branches and tags, and says what follows a branch that is gone', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('tag', 't1')
    await clone.git('push', '-q', 'divio', 'main', 't1', 'main:dev')
    await server.environments.change(app, 'test', { branch: 'dev' })
    const { code, output } = await clone.git('push', 'divio', ':dev', ':t1')
    expect(code).toBe(0)
    expect(output).toContain('- [deleted]         dev')
    expect(output).toContain('test follows dev, which is gone now')
    expect(await remoteRefs()).toEqual(['HEAD', 'refs/heads/main'])
    expect(server.deploys.requests).toHaveLength(1)
  })

  it('records where its branches stand, and learns those from before at a start', async () => {
    const branches = async (): Promise<unknown> =>
      server.db.query(
        'select b.name, b.head from branches b join apps a on a.id = b.app_id where a.name = $1 order by b.name',
        [app],
      )
    const first = await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', 'main', 'main:dev', 'main:gone')
    const second = await clone.commit('a.txt', 'b')
    await clone.git('push', '-q', 'divio', 'main', ':gone')
    const expected = [
      { name: 'dev', head: first },
      { name: 'main', head: second },
    ]
    expect(await branches()).toEqual(expected)
    await server.db.query('delete from branches')
    await server.db.query('update apps set branches_known = false')
    await server.restartGit()
    expect(await branches()).toEqual(expected)
    expect(await server.db.query('select 1 from apps where not branches_known')).toEqual([])
  })

  it('refuses to delete or to push with force what a live environment follows, until it is allowed', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', 'main')
    await clone.git('commit', '-q', '--amend', '-m', 'rewritten')
    const setting = `slipway envs set live --allow-forced-push -a ${app}`
    const forced = await clone.git('push', '-f', 'divio', 'main')
    expect(forced.code).toBe(1)
    expect(forced.output).toContain(`live follows this branch and takes no forced push; to allow it: ${setting}`)
    expect((await clone.git('push', 'divio', ':main')).output).toContain(
      'live follows this branch; to delete it anyway',
    )
    await server.environments.change(app, 'live', { allowForcedPush: true })
    expect((await clone.git('push', '-f', 'divio', 'main')).output).toContain('(forced update)')
  })

  it('accepts a forced push on any other branch', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', 'main', 'main:dev')
    await server.environments.change(app, 'test', { branch: 'dev' })
    await clone.git('commit', '-q', '--amend', '-m', 'rewritten')
    const { code, output } = await clone.git('push', '-f', 'divio', 'main:dev')
    expect(output).toContain('(forced update)')
    expect(code).toBe(0)
    expect(server.deploys.requests.at(-1)).toMatchObject({ branch: 'dev' })
  })

  it.each([
    ['refs/changes/1', 'only branches, tags and notes can be pushed, not “refs/changes/1”'],
    ['refs/replace/0123456789012345678901234567890123456789', 'only branches, tags and notes'],
    ['refs/heads/HEAD', 'a branch cannot be called HEAD'],
    ['refs/heads/-x', 'cannot be the name of a branch'],
    ['refs/slipway/deploys/1', 'deny updating a hidden ref'],
  ])('refuses %s by name and takes the others', async (ref, reason) => {
    await clone.commit('a.txt', 'a')
    const { code, output } = await clone.git('push', 'divio', 'main', `main:${ref}`)
    expect(code).toBe(1)
    expect(output).toContain('* [new branch]      main -> main')
    expect(output).toContain(reason)
    expect(await remoteRefs()).toEqual(['HEAD', 'refs/heads/main'])
  })

  it('moves all or nothing when asked to', async () => {
    await clone.commit('a.txt', 'a')
    const { code, output } = await clone.git('push', '--atomic', 'divio', 'main', 'main:refs/changes/1')
    expect(code).toBe(1)
    expect(output).toContain('an atomic push moves all or nothing')
    expect(await server.environments.findApp(app)).toBeNull()
    await expectNothingLeft(server)
    expect(await server.cli.repositories.exists(app)).toBe(false)
  })

  it('refuses more than 2,000 refs in words', async () => {
    await clone.commit('a.txt', 'a')
    const refs = Array.from({ length: 2001 }, (_, i) => `main:refs/heads/b${i}`)
    const { code, output } = await clone.git('push', 'divio', ...refs)
    expect(code).toBe(1)
    expect(output).toContain('One push may move at most 2,000 branches and tags')
    expect(await server.cli.repositories.exists(app)).toBe(false)
  })

  it('refuses a tag or blob where a branch should be', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', 'main')
    const blob = (await clone.git('rev-parse', 'main:a.txt')).output.trim()
    const { code, output } = await clone.git('push', 'divio', `${blob}:refs/heads/blob`, 'main:fine')
    expect(code).toBe(1)
    expect(output).toContain('a branch must point to a commit')
    expect(output).toContain('main -> fine')
  })

  it('lets exactly one of several racing pushes win a branch', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', 'main')
    const others = await Promise.all([1, 2, 3].map(() => makeClone(server.remote(app))))
    const outcomes = await Promise.all(
      others.map(async (other, i) => {
        await other.git('pull', '-q', 'divio', 'main')
        await other.commit('b.txt', `${i}`)
        return other
      }),
    ).then((ready) => Promise.all(ready.map((other) => other.git('push', 'divio', 'main'))))
    expect(outcomes.map(({ code }) => code).sort()).toEqual([0, 1, 1])
    for (const { code, output } of outcomes) if (code === 1) expect(output).toMatch(/fetch first/)
    for (const other of others) other.remove()
  })

  it('makes one app of two first pushes at once', async () => {
    const other = await makeClone(server.remote(app))
    await clone.commit('a.txt', 'a')
    await other.commit('b.txt', 'b')
    const both = await Promise.all([clone.git('push', 'divio', 'main'), other.git('push', 'divio', 'main:dev')])
    expect(both.map(({ code }) => code)).toEqual([0, 0])
    expect(await remoteRefs()).toEqual(expect.arrayContaining(['refs/heads/dev', 'refs/heads/main']))
    other.remove()
  })
})

describe('branches', () => {
  it.each([
    [['feature'], 'feature'],
    [['feature', 'develop'], 'develop'],
    [['develop', 'main'], 'main'],
  ])('of %j the default is %s, and HEAD follows it', async (branches, expected) => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', ...branches.map((branch) => `main:${branch}`))
    expect((await server.environments.getApp(app)).defaultBranch).toBe(expected)
    expect((await clone.git('ls-remote', '--symref', 'divio', 'HEAD')).output).toContain(
      `ref: refs/heads/${expected}\tHEAD`,
    )
  })

  it('keep the default that a person chose, whatever arrives', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', 'main:trunk')
    await server.git.setDefaultBranch(app, 'trunk', 'ada')
    await clone.git('push', '-q', 'divio', 'main:main', 'main:develop')
    expect((await server.environments.getApp(app)).defaultBranch).toBe('trunk')
    const head = (): Promise<{ output: string }> => clone.git('ls-remote', '--symref', 'divio', 'HEAD')
    expect((await head()).output).toContain('ref: refs/heads/trunk\tHEAD')
    await server.git.setDefaultBranch(app, 'develop', 'ada')
    expect((await head()).output).toContain('ref: refs/heads/develop\tHEAD')
  })

  it('deploys live when it has a branch of its own', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', 'main')
    await server.environments.change(app, 'live', { branch: 'master' })
    const live = await server.environments.get(app, 'live')
    const { output } = await clone.git('push', 'divio', 'main:master')
    expect(output).toContain('live follows it')
    expect(server.deploys.requests.at(-1)).toMatchObject({ environmentId: live.id, branch: 'master' })
  })
})

describe('push options', () => {
  beforeEach(() => clone.commit('a.txt', 'a'))

  it('force-rebuild asks for a build of its own', async () => {
    await clone.commit('a.txt', 'a')
    expect((await clone.git('push', '-o', 'force-rebuild', 'divio', 'main')).code).toBe(0)
    expect(server.deploys.requests.at(-1)).toMatchObject({ kind: 'push', forceRebuild: true })
    await clone.commit('a.txt', 'b')
    const unknown = await clone.git('push', '-o', 'rebuild', 'divio', 'main')
    expect(unknown.code).toBe(1)
    expect(unknown.output).toContain('There is no push option “rebuild”')
    expect(unknown.output).toContain('There are: -o nowait, -o skip-deploy, -o env=<name>, -o force-rebuild, -o strict')
  })

  it('that is longer than any, or one of very many, is refused in words', async () => {
    const long = await clone.git('push', '-o', `env=${'x'.repeat(4_000)}`, 'divio', 'main')
    expect(long.code).toBe(1)
    expect(long.output).toMatch(/! {5}The push option “env=x{75}…” is longer than 1000 characters/)
    const many = Array.from({ length: 60 }, () => ['-o', 'nowait']).flat()
    expect((await clone.git('push', ...many, 'divio', 'main')).output).toContain('at most 50 push options')
  })

  it('nowait returns when queued', async () => {
    const release = server.deploys.hold()
    const { code, output } = await clone.git('push', '-o', 'nowait', 'divio', 'main')
    release()
    expect(code).toBe(0)
    expect(output).toMatch(/slipway: deploy=\d+ environment=test release=- status=queued/)
    expect(output).toMatch(/slipway deploys log \d+ -f/)
    expect(output).not.toContain('Building')
  })

  it('skip-deploy keeps the commits and says how to deploy them', async () => {
    const { output } = await clone.git('push', '-o', 'skip-deploy', 'divio', 'main')
    expect(output).toContain('slipway: deploy=- environment=test release=- status=skipped')
    expect(output).toMatch(/Later: slipway deploy test --commit [0-9a-f]{10} /)
    expect(server.deploys.requests).toEqual([])
  })

  it('env deploys to that environment whatever its branch', async () => {
    const { output } = await clone.git('push', '-o', 'env=live', 'divio', 'main:feature')
    const live = await server.environments.get(app, 'live')
    expect(output).toContain('live follows it')
    expect(server.deploys.requests).toMatchObject([{ environmentId: live.id, branch: 'feature' }])
  })

  it.each([
    [['strict', 'nowait'], 'contradict each other'],
    [['fast'], 'There is no push option “fast”'],
    [['env=staging'], 'has no environment “staging”; it has: test, live'],
    [['env=--x'], 'cannot be the name of an environment'],
    [['env=live', 'skip-deploy'], 'contradict each other'],
  ])('%j: refuses the push and says why', async (options, reason) => {
    const { code, output } = await clone.git('push', ...options.flatMap((o) => ['-o', o]), 'divio', 'main')
    expect(code).toBe(1)
    expect(output).toContain(reason)
    expect(output).toMatch(/remote: {2}! {5}\S/)
    expect(output).toContain('! [remote rejected] main -> main')
    expect(await server.environments.findApp(app)).toBeNull()
  })

  it('env wants exactly one branch', async () => {
    const { output } = await clone.git('push', '-o', 'env=live', 'divio', 'main', 'main:dev')
    expect(output).toContain('needs a push of exactly one branch')
  })
})

describe('holding commits', () => {
  it('every deploy’s commit is held by a hidden ref, the push’s own are gone', async () => {
    const first = await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', 'main')
    const held = await server.cli.repositories.listRefs(app, 'refs/slipway/')
    expect([...held.values()]).toEqual([first])
    expect([...held.keys()][0]).toMatch(/^refs\/slipway\/deploys\/\d+$/)
    expect((await clone.git('ls-remote', 'divio')).output).not.toContain('slipway')
    const id = Number([...held.keys()][0]?.split('/').at(-1))
    await server.cli.repositories.dropKept(app, [id, id + 1000])
    expect(await server.cli.repositories.listRefs(app, 'refs/slipway/')).toEqual(new Map())
  })

  it('a newer push takes the place of one that waits, and says so', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', '-o', 'nowait', 'divio', 'main')
    await clone.commit('a.txt', 'b')
    expect((await clone.git('push', 'divio', 'main')).output).toMatch(/takes the place of deploy \d+/)
  })
})
