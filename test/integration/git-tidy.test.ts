import { describe, expect, it } from '@jest/globals'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { heldRefs } from '../../src/git/index.ts'
import { type Clone, type GitServer } from '../support/git-server.ts'
import { withOwnApp } from '../support/own-app.ts'
import { addRelease } from '../support/old-releases.ts'

let server: GitServer
let clone: Clone
let app: string
withOwnApp((own) => ({ server, clone, app } = own))

const repository = (): string => server.cli.repositories.pathOf(app)
const inRepository = (args: string[], input = ''): string =>
  execFileSync('git', args, { cwd: repository(), input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'] })
const tidy = (signal = new AbortController().signal) => server.git.tidy(app, { keepDays: 30, signal })
const isThere = (commit: string): boolean => {
  try {
    inRepository(['cat-file', '-e', `${commit}^{tree}`])
    return true
  } catch {
    return false
  }
}

/**
 * Enough for git to find it worth while, and all of it from long ago. Git estimates loose objects by those whose id begins
 * with 17; packs it counts.
 */
function makeWorthWhile(): void {
  for (let made = 0, i = 0; made < 8; i++) {
    const content = `${app} ${i} ${Math.random()}`
    const id = createHash('sha1').update(`blob ${content.length}\0${content}`).digest('hex')
    if (!id.startsWith('17')) continue
    inRepository(['hash-object', '-w', '--stdin'], content)
    if (made++ < 2) inRepository(['pack-objects', '-q', 'objects/pack/pack'], `${id}\n`)
  }
  for (const path of readdirSync(join(repository(), 'objects'), { recursive: true, encoding: 'utf8' })) {
    age(join(repository(), 'objects', path), 21)
  }
}

function age(path: string, days: number): void {
  const then = new Date(Date.now() - days * 24 * 3600_000)
  utimesSync(path, then, then)
}

const looseObjects = (): number => Number(/^count: (\d+)$/m.exec(inRepository(['count-objects', '-v']))?.[1])

describe('tidying a repository', () => {
  it('keeps the commits of kept releases after a forced push, and lets them go with the image', async () => {
    const first = await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', '-o', 'skip-deploy', 'divio', 'main')
    const { id: environmentId } = await server.environments.get(app, 'test')
    const kept = await addRelease(server.db, environmentId, { commit: first, daysAgo: 90 })
    // As a deploy that was asked for over the API: nothing has held its commit yet.
    expect(await server.cli.repositories.listRefs(app, heldRefs.ofDeploys)).toEqual(new Map())

    await clone.git('checkout', '-q', '--orphan', 'other')
    const second = await clone.commit('b.txt', 'b')
    await server.db.query('update environments set allow_forced_push = true')
    const forced = await clone.git('push', '-f', '-o', 'skip-deploy', 'divio', 'other:main')
    expect(forced.output).toContain('forced update')

    makeWorthWhile()
    expect(await tidy()).toEqual({ held: 1, dropped: 0, packed: true })
    expect(looseObjects()).toBe(0)
    expect([isThere(first), isThere(second)]).toEqual([true, true])

    await server.db.query('update builds set image_removed_at = now() where id = $1', [kept.buildId])
    // What is in packs goes when there are many of them.
    for (let i = 0; i < 6; i++) makeWorthWhile()
    expect(await tidy()).toEqual({ held: 0, dropped: 1, packed: true })
    expect([isThere(first), isThere(second)]).toEqual([false, true])
    // What no branch reaches may still be there.
    expect(inRepository(['fsck', '--full', '--no-dangling'])).toBe('')
  })

  it('holds the commits of deploys that wait, and for some days those of ended ones', async () => {
    const commit = await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', 'divio', 'main')
    const [waiting] = await server.db.query<{ id: number }>('select max(id) as id from deploys')
    const { id: environmentId } = await server.environments.get(app, 'test')
    const recent = await addRelease(server.db, environmentId, { commit, state: 'failed', daysAgo: 5 })
    const old = await addRelease(server.db, environmentId, { commit, state: 'failed', daysAgo: 50 })
    await server.db.query('update builds set image_removed_at = now()')
    await server.cli.repositories.keepCommit(app, old.deployId, commit)
    await server.cli.repositories.keepCommit(app, 999_999, commit)

    expect(await tidy()).toEqual({ held: 1, dropped: 2, packed: true })
    const refs = [...(await server.cli.repositories.listRefs(app, heldRefs.ofDeploys)).keys()]
    expect(refs.sort()).toEqual([heldRefs.ofDeploy(waiting?.id as number), heldRefs.ofDeploy(recent.deployId)].sort())
  })

  it('leaves what is not worth while, and what is younger than two weeks', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', '-o', 'skip-deploy', 'divio', 'main')
    const unreached = inRepository(['hash-object', '-w', '--stdin'], 'of a push that is on its way').trim()
    const before = looseObjects()
    await tidy()
    expect(looseObjects()).toBe(before)

    makeWorthWhile()
    age(join(repository(), 'objects', unreached.slice(0, 2), unreached.slice(2)), 13)
    await tidy()
    expect(inRepository(['cat-file', 'blob', unreached])).toBe('of a push that is on its way')
  })

  it('removes what killed pushes left when it is a day old', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', '-o', 'skip-deploy', 'divio', 'main')
    const namesOf = (age: 'old' | 'new') =>
      [
        `objects/tmp_objdir-incoming-${age}`,
        `objects/17/tmp_obj_${age}`,
        `objects/pack/.tmp-1-pack-${age}.pack`,
        `objects/info/packs_abc${age}`,
        `info/refs_abc${age}`,
      ].map((name) => join(repository(), name))
    const thereOf = (paths: readonly string[]) => paths.filter((path) => existsSync(path))
    const [old, young] = [namesOf('old'), namesOf('new')]
    for (const path of [...old, ...young]) mkdirSync(path, { recursive: true })
    for (const path of old) age(path, 2)
    await tidy()
    expect([thereOf(old), thereOf(young)]).toEqual([[], young])
    await server.cli.repositories.sweep()
    expect(thereOf(young)).toEqual([])
  })

  it('that fails leaves no lock, however young: nobody else has one', async () => {
    await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', '-o', 'skip-deploy', 'divio', 'main')
    const lock = join(repository(), 'packed-refs.lock')
    writeFileSync(lock, '')
    makeWorthWhile()
    await expect(tidy()).rejects.toThrow()
    expect(existsSync(lock)).toBe(false)
    expect(await tidy()).toMatchObject({ packed: true })
  })

  it.each(['gc.pid.lock', 'packed-refs.lock', 'packed-refs.new'])(
    'is not held up by a %s that a killed one left',
    async (lock) => {
      await clone.commit('a.txt', 'a')
      await clone.git('push', '-q', '-o', 'skip-deploy', 'divio', 'main')
      makeWorthWhile()
      writeFileSync(join(repository(), lock), '')
      age(join(repository(), lock), 1)
      expect(await tidy()).toMatchObject({ packed: true })
      expect(looseObjects()).toBe(0)
    },
  )

  it('can be broken off at any moment, and is done at the next time', async () => {
    const commit = await clone.commit('a.txt', 'a')
    await clone.git('push', '-q', '-o', 'skip-deploy', 'divio', 'main')
    for (const afterMs of [1, 5, 10, 15, 20, 25, 30, 40, 60, 80]) {
      makeWorthWhile()
      await tidy(AbortSignal.timeout(afterMs)).catch(() => undefined)
      expect(isThere(commit)).toBe(true)
    }
    makeWorthWhile()
    await tidy()
    expect(looseObjects()).toBe(0)
    // What no branch reaches may still be there.
    expect(inRepository(['fsck', '--full', '--no-dangling'])).toBe('')
    expect(readdirSync(join(repository(), 'objects', 'pack')).filter((name) => name.startsWith('tmp_'))).toEqual([])
  })

  it('does nothing to an app without a repository', async () => {
    expect(await server.git.tidy('nothing-here', { keepDays: 30, signal: AbortSignal.timeout(10_000) })).toEqual({
      held: 0,
      dropped: 0,
      packed: false,
    })
  })
})
