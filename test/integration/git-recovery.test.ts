import { beforeEach, describe, expect, it } from '@jest/globals'
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import { heldRefs, zeroId } from '../../src/git/index.ts'
import { type Clone, eventually, type GitServer, processesIn } from '../support/git-server.ts'
import { withOwnApp } from '../support/own-app.ts'

const hook = resolve(__dirname, '../../hooks/proc-receive')
let server: GitServer
let clone: Clone
let app: string
withOwnApp((own) => ({ server, clone, app } = own))

const repositories = (): GitServer['cli']['repositories'] => server.cli.repositories

/** What a crash leaves: the push is noted down; `moved` says whether its branch got there. */
async function interrupt(branch: string, commit: string, moved: boolean): Promise<number> {
  const { id: appId } = await server.environments.getApp(app)
  const updates = [{ ref: `refs/heads/${branch}`, old: zeroId, new: commit }]
  const rows = await server.db.query<{ id: number }>(
    `insert into pushes (app_id, pushed_by, state, updates) values ($1, 'ada', 'receiving', $2) returning id`,
    [appId, JSON.stringify(updates)],
  )
  const id = rows[0]?.id as number
  if (moved) {
    await repositories().moveRefs(app, [
      { ref: `refs/heads/${branch}`, old: zeroId, new: commit },
      { ref: `${heldRefs.ofPush(id)}0`, old: null, new: commit },
    ])
  }
  return id
}

const stateOf = async (id: number): Promise<string | undefined> =>
  (await server.db.query<{ state: string }>('select state from pushes where id = $1', [id]))[0]?.state

describe('after a crash', () => {
  let commit: string
  beforeEach(async () => {
    commit = await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', '-o', 'skip-deploy', 'divio', 'main')
    await server.environments.change(app, 'test', { branch: 'dev' })
  })

  it('a push whose branch moved is received once, and its deploy is queued', async () => {
    const id = await interrupt('dev', commit, true)
    await server.restartGit()
    await server.restartGit()
    expect(await stateOf(id)).toBe('received')
    expect(server.deploys.requests).toMatchObject([{ branch: 'dev', commit, requestedBy: 'ada', pushId: id }])
    const held = await repositories().listRefs(app, 'refs/slipway/')
    expect([...held.keys()]).toEqual([expect.stringMatching(/^refs\/slipway\/deploys\//)])
  })

  it('a push whose branch did not move is lost', async () => {
    const id = await interrupt('dev', commit, false)
    await server.restartGit()
    expect(await stateOf(id)).toBe('lost')
    expect(server.deploys.requests).toEqual([])
  })

  it('a branch that already stood there without the push’s proof is not taken for it', async () => {
    await clone.git('push', '-q', '-o', 'skip-deploy', 'divio', 'main:dev')
    const id = await interrupt('dev', commit, false)
    await server.restartGit()
    expect(await stateOf(id)).toBe('lost')
  })

  it('commits that a finished push still holds are let go', async () => {
    await repositories().moveRefs(app, [{ ref: `${heldRefs.ofPush(999)}0`, old: null, new: commit }])
    await server.restartGit()
    expect(await repositories().listRefs(app, 'refs/slipway/')).toEqual(new Map())
  })

  it('locks and temporary objects of killed git children are removed, younger locks stay', async () => {
    const path = repositories().pathOf(app)
    const old = new Date(Date.now() - 2 * 60 * 60 * 1000)
    const place = (name: string, age: Date): string => {
      const file = join(path, name)
      mkdirSync(join(file, '..'), { recursive: true })
      writeFileSync(file, 'x')
      utimesSync(file, age, age)
      return file
    }
    const gone = ['refs/heads/main.lock', 'packed-refs.lock', 'objects/pack/tmp_pack_abc', 'objects/ab/tmp_obj_x']
    for (const name of gone) place(name, old)
    place('objects/tmp_objdir-incoming-abc/pack/x', new Date())
    const young = place('refs/heads/other.lock', new Date())
    await server.restartGit()
    expect(statSync(young).isFile()).toBe(true)
    for (const name of gone) expect(() => statSync(join(path, name))).toThrow('ENOENT')
    expect(() => statSync(join(path, 'objects/tmp_objdir-incoming-abc'))).toThrow('ENOENT')
    utimesSync(young, old, old)
    await server.restartGit()
    expect(() => statSync(young)).toThrow('ENOENT')
    expect((await clone.git('push', '-o', 'skip-deploy', 'divio', 'main:again')).code).toBe(0)
  })
})

describe('when the database is away after the branch moved', () => {
  it('for a moment: the deploy is queued all the same', async () => {
    await clone.commit('a.txt', 'a')
    server.deploys.failRequests(2)
    const { code } = await clone.git('push', 'divio', 'main')
    expect(code).toBe(0)
    expect(server.deploys.requests).toHaveLength(1)
    expect(server.failures.splice(0)).toHaveLength(2)
  })

  it('for longer: the push says that the commits are kept, and the next start queues them', async () => {
    const commit = await clone.commit('a.txt', 'a')
    server.deploys.failRequests(4)
    const { code, output } = await clone.git('push', 'divio', 'main')
    expect(code).toBe(0)
    expect(output).toContain('The commits are kept, but their deploys could not be queued')
    expect(server.failures.splice(0)).toHaveLength(4)
    await server.restartGit()
    expect(server.deploys.requests).toMatchObject([{ commit }])
  })
})

describe('the hook', () => {
  it('is executable, and a server that stops while a deploy is followed does not spoil the push', async () => {
    expect(statSync(hook).mode & 0o111).toBe(0o111)
    await clone.commit('a.txt', 'a')
    const release = server.deploys.hold()
    const pushing = clone.git('push', 'divio', 'main')
    await eventually(
      () => server.deploys.following.size,
      (size) => size === 1,
    )
    await server.restartGit()
    const { code, output } = await pushing
    expect(output).toContain('Slipway was stopped. The push is kept')
    expect(output).toContain('* [new branch]      main -> main')
    expect(code).toBe(0)
    release()
    await eventually(
      () => server.deploys.following.size,
      (size) => size === 0,
    )
  })

  it('refuses the push when nobody answers', async () => {
    await clone.commit('a.txt', 'a')
    server.git.stop()
    const { code, output } = await clone.git('push', 'divio', 'main')
    await server.restartGit()
    expect(code).toBe(1)
    expect(output).toContain('Slipway does not answer, so this push is refused')
    expect(output).toContain('! [remote rejected] main -> main (fail to run proc-receive hook)')
    expect(server.deploys.requests).toEqual([])
  })

  it('that is killed while a deploy is followed: the branch has moved, the deploy goes on, nothing is left', async () => {
    await clone.commit('a.txt', 'a')
    const release = server.deploys.hold()
    const pushing = clone.git('push', 'divio', 'main')
    await eventually(
      () => server.deploys.following.size,
      (size) => size === 1,
    )
    const pid = Number(
      processesIn(server.dataDir)
        .find((line) => line.includes('proc-receive'))
        ?.split(' ')[0],
    )
    expect(pid).toBeGreaterThan(1)
    process.kill(pid, 'SIGKILL')
    expect(await repositories().resolveBranch(app, 'main')).not.toBeNull()
    release()
    expect((await pushing).output).toContain('main')
  })

  it('without Slipway’s descriptors fails closed', () => {
    const { status, stdout, stderr } = spawnSync(hook, { env: { PATH: '/usr/bin:/bin' }, input: '', encoding: 'utf8' })
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toContain('this push is refused')
  })

  it('passes on what git says, what Slipway answers and what the pusher is told, and ends with them', async () => {
    const child = spawn(hook, { env: { PATH: '/usr/bin:/bin' }, stdio: ['pipe', 'pipe', 'pipe', 'pipe', 'pipe'] })
    const [, , , talk, lines] = child.stdio as unknown as Duplex[]
    let [said, told] = ['', '']
    child.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()))
    child.stdin.write('0012version=1\n0000')
    talk?.on('data', (chunk: Buffer) => (said += chunk.toString()))
    await eventually(
      () => said,
      (words) => words === '0012version=1\n0000',
    )
    lines?.end('a line\n')
    talk?.end('an answer')
    child.stdin.end()
    const [code, answer] = await Promise.all([new Promise((done) => child.on('exit', done)), text(child.stdout)])
    expect([code, answer, told]).toEqual([0, 'an answer', 'a line\n'])
  })
})
