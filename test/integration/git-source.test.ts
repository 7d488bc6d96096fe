import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { extract } from 'tar-stream'
import { makeRepositories } from '../../src/adapters/git-cli/repositories.ts'
import { type GitCli, makeGitCli } from '../../src/adapters/git-cli/git-cli.ts'
import { type SpawnGit, zeroId } from '../../src/git/index.ts'
import { type Clone, eventually, makeClone, processesIn } from '../support/git-server.ts'

const app = 'shop'
const { signal } = new AbortController()
let dataDir: string
let cli: GitCli
let clone: Clone

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'slipway-source-'))
  cli = makeGitCli({ dataDir, installation: `s${process.pid}`, hooksDir: '/nonexistent', maxPushBytes: 1e9 })
  await cli.repositories.ensure(app)
  clone = await makeClone(cli.repositories.pathOf(app))
})
afterAll(async () => {
  clone.remove()
  await eventually(
    () => processesIn(dataDir),
    (left) => left.length === 0,
  )
  rmSync(dataDir, { recursive: true, force: true })
})

/** Brings commits in as a fetch from the clone: no hook is in the way. */
async function bring(): Promise<string> {
  const commit = (await clone.git('rev-parse', 'HEAD')).output.trim()
  execFileSync('git', [
    '-C',
    cli.repositories.pathOf(app),
    'fetch',
    '-q',
    clone.path,
    `+HEAD:refs/heads/t${commit.slice(0, 8)}`,
  ])
  return commit
}

async function entriesOf(commit: string, context = '.'): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const tar = extract()
  tar.on('entry', (header, stream, next) => {
    void buffer(stream).then((content) => {
      if (header.type === 'file') found.set(header.name, content.toString())
      next()
    })
  })
  cli.source.archive(app, commit, context, signal).pipe(tar)
  await new Promise<void>((resolve, reject) => tar.on('finish', resolve).on('error', reject))
  return found
}

async function readFile(of: string, commit: string, path: string, maxBytes: number): Promise<Buffer | null> {
  const [read = null] = await cli.source.readFiles(of, commit, [{ path, maxBytes }])
  if (read instanceof Error) throw read
  return read
}

describe('what lies between two commits', () => {
  it('is counted and listed, the newest first, also where both have commits of their own', async () => {
    await clone.commit('a.txt', '1')
    const base = await bring()
    await clone.commit('a.txt', '2')
    const deployed = await bring()
    await clone.git('reset', '-q', '--hard', base)
    await clone.commit('b.txt', '1')
    await clone.git('commit', '-q', '--allow-empty', '-m', `\u001b[31m${'long '.repeat(200)}\n\nbody`)
    const head = await bring()
    const { repositories } = cli
    expect(await repositories.countBetween(app, base, deployed)).toEqual({ added: 1, left: 0 })
    expect(await repositories.countBetween(app, deployed, head)).toEqual({ added: 2, left: 1 })
    expect(await repositories.countBetween(app, '1'.repeat(40), head)).toBeNull()
    const total = Number((await clone.git('rev-list', '--count', head)).output)
    expect(await repositories.countBetween(app, null, head)).toEqual({ added: total, left: 0 })
    expect(await repositories.countBetween(app, null, '1'.repeat(40))).toBeNull()
    const all = await repositories.listBetween(app, { from: null, to: head, limit: 2 })
    expect(all.map(({ id }) => id)).toEqual([head, expect.stringMatching(/^[0-9a-f]{40}$/)])
    const [newest, second, ...more] = await repositories.listBetween(app, { from: deployed, to: head, limit: 20 })
    expect(more).toEqual([])
    expect(newest).toMatchObject({ id: head, at: expect.any(Date) })
    expect(newest?.subject.length).toBeLessThanOrEqual(300)
    expect(newest?.author).not.toBe('')
    expect(second?.id).toMatch(/^[0-9a-f]{40}$/)
    expect(await repositories.listBetween(app, { from: deployed, to: head, limit: 1 })).toHaveLength(1)
    expect(await repositories.listBetween(app, { from: '1'.repeat(40), to: head, limit: 1 })).toEqual([])
    const described = await repositories.describeCommits(app, [base, '1'.repeat(40), head, base])
    expect([...described.keys()].sort()).toEqual([base, head].sort())
    expect(described.get(head)).toEqual(newest)
    expect((await repositories.describeCommits(app, ['1'.repeat(40)])).size).toBe(0)
    expect((await repositories.describeCommits('never-pushed', [head])).size).toBe(0)
    await expect(repositories.describeCommits(app, ['--all'])).rejects.toMatchObject({ code: 'bad_request' })
    await expect(repositories.countBetween(app, '--all', head)).rejects.toMatchObject({ code: 'bad_request' })
  })

  it('is told whatever a commit says of its time, and whatever signs stand in its words', async () => {
    await clone.commit('c.txt', '1')
    const tree = (await clone.git('rev-parse', 'HEAD^{tree}')).output.trim()
    for (const [seconds, at] of [
      ['99999999999999', '9999-12-31T23:59:59.000Z'],
      ['253402300800', '9999-12-31T23:59:59.000Z'],
      ['1000000000', '2001-09-09T01:46:40.000Z'],
    ] as const) {
      const input = `tree ${tree}\nauthor Ada\u001f7\u001fx <a@b> ${seconds} +0000\ncommitter Ada <a@b> ${seconds} +0000\n\na\u001fb\n`
      const written = execFileSync('git', ['-C', clone.path, 'hash-object', '-t', 'commit', '-w', '--stdin'], { input })
      await clone.git('reset', '-q', '--hard', written.toString().trim())
      const id = await bring()
      const found = (await cli.repositories.describeCommits(app, [id])).get(id)
      expect([found?.at.toISOString(), found?.author]).toEqual([at, 'Ada'])
    }
  })
})

describe('reading a commit', () => {
  let commit: string
  beforeAll(async () => {
    await clone.commit('Dockerfile', 'FROM scratch\n')
    await clone.commit('web/app.txt', 'hello')
    await clone.commit('.gitattributes', 'tests export-ignore\nversion.txt export-subst\n')
    await clone.commit('tests/a.txt', 'a test')
    await clone.commit('version.txt', '$Format:%H$')
    await clone.commit(':(top)odd *.txt', 'odd')
    symlinkSync('/etc/passwd', join(clone.path, 'link'))
    await clone.commit('--output=x', 'dash')
    commit = await bring()
  })

  it.each([
    ['Dockerfile', 'FROM scratch\n'],
    ['./web/app.txt', 'hello'],
    [':(top)odd *.txt', 'odd'],
    ['--output=x', 'dash'],
    ['missing', null],
    ['link', null],
    ['web', null],
    ['*', null],
  ])('the file %s', async (path, expected) => {
    expect((await readFile(app, commit, path, 1000))?.toString() ?? null).toBe(expected)
  })

  it('several files in one call, each with its own limit', async () => {
    const wanted = [
      { path: 'web/app.txt', maxBytes: 100 },
      { path: 'missing', maxBytes: 100 },
      { path: 'Dockerfile', maxBytes: 5 },
      { path: 'version.txt', maxBytes: 100 },
    ]
    const [app_, missing, long, version] = await cli.source.readFiles(app, commit, wanted)
    expect([app_, missing, version].map((file) => file?.toString())).toEqual(['hello', undefined, '$Format:%H$'])
    expect(long).toMatchObject({ code: 'too_large' })
  })

  it('a file that is too long, a path outside and a commit that is not there are refused', async () => {
    const code = (code: string): unknown => expect.objectContaining({ code })
    await expect(readFile(app, commit, 'Dockerfile', 5)).rejects.toEqual(code('too_large'))
    await expect(readFile(app, commit, '../x', 5)).rejects.toEqual(code('bad_request'))
    await expect(readFile(app, commit, '/etc/passwd', 5)).rejects.toEqual(code('bad_request'))
    await expect(readFile(app, '1'.repeat(40), 'x', 5)).rejects.toEqual(code('not_found'))
    await expect(readFile(app, '--output=x', 'x', 5)).rejects.toEqual(code('bad_request'))
    await expect(readFile('../x', commit, 'x', 5)).rejects.toEqual(code('bad_request'))
  })

  it('the archive holds what the commit holds, whatever .gitattributes says of releases', async () => {
    const files = await entriesOf(commit)
    expect(files.get('tests/a.txt')).toBe('a test')
    expect(files.get('version.txt')).toBe('$Format:%H$')
    expect([...files.keys()]).toContain('web/app.txt')
    expect(await entriesOf(commit, 'web')).toEqual(new Map([['app.txt', 'hello']]))
  })

  it('an archive of nothing errors instead of being empty', async () => {
    await expect(buffer(cli.source.archive(app, '1'.repeat(40), '.', signal))).rejects.toMatchObject({
      code: 'not_found',
    })
    await expect(buffer(cli.source.archive(app, commit, 'missing', signal))).rejects.toMatchObject({
      code: 'not_found',
    })
  })

  it('an archive that is cancelled or left leaves no git', async () => {
    const cancelled = new AbortController()
    const stream = cli.source.archive(app, commit, '.', cancelled.signal)
    stream.once('data', () => cancelled.abort())
    await expect(buffer(stream)).rejects.toThrow()
    const left = cli.source.archive(app, commit, '.', signal)
    left.on('error', () => undefined).once('data', () => left.destroy())
    await eventually(
      () => processesIn(dataDir),
      (running) => running.length === 0,
    )
  })

  it('a commit is found by branch, full id and beginning', async () => {
    await cli.repositories.moveRefs(app, [{ ref: 'refs/heads/cafe', old: zeroId, new: commit }])
    for (const given of ['cafe', commit, commit.slice(0, 7)]) {
      expect(await cli.repositories.resolveCommit(app, given)).toBe(commit)
    }
    const unknown = ['nothing', '1'.repeat(40), 'abcd', 'refs/tags/cafe', 'refs/slipway/deploys/1']
    for (const given of [
      ...unknown,
      '',
      '--all',
      'HEAD~1',
      'cafe..main',
      'cafe^{tree}',
      'refs/heads/cafe:Dockerfile',
    ]) {
      await expect(cli.repositories.resolveCommit(app, given)).rejects.toMatchObject({
        code: unknown.includes(given) ? 'not_found' : 'bad_request',
      })
    }
  })

  it('a commit is found by tag, annotated or not; a name that is both is asked back', async () => {
    const { repositories } = cli
    const other = await clone.commit('other.txt', 'other')
    await clone.git('tag', 'v1', commit)
    await clone.git('tag', '-a', '-m', 'the second', 'v2', other)
    await clone.git('tag', 'v3', `${commit}^{tree}`)
    await bring()
    execFileSync('git', ['-C', repositories.pathOf(app), 'fetch', '-q', clone.path, 'refs/tags/*:refs/tags/*'])
    const found = (given: string): Promise<string> => repositories.resolveCommit(app, given)
    expect([await found('v1'), await found('v2'), await found('refs/tags/v2')]).toEqual([commit, other, other])
    expect(await found(commit.slice(0, 12).toUpperCase())).toBe(commit)
    await expect(found('v3')).rejects.toMatchObject({ code: 'not_found' })
    await repositories.moveRefs(app, [{ ref: 'refs/heads/v2', old: zeroId, new: other }])
    expect(await found('v2')).toBe(other)
    await repositories.moveRefs(app, [{ ref: 'refs/heads/v2', old: other, new: commit }])
    await expect(found('v2')).rejects.toMatchObject({
      code: 'conflict',
      hint: 'Say which: refs/heads/v2 or refs/tags/v2',
    })
    expect([await found('refs/heads/v2'), await found('refs/tags/v2')]).toEqual([commit, other])
  })
})

describe('moving a branch that HEAD names', () => {
  it('waits while somebody leads HEAD elsewhere: no pusher has lost a race by that', async () => {
    const first = await clone.commit('first.txt', 'first')
    await bring()
    const move = { ref: 'refs/heads/main', old: zeroId, new: first }
    const lock = join(cli.repositories.pathOf(app), 'HEAD.lock')
    let isLed = true
    writeFileSync(lock, '')
    const spawnGit: SpawnGit = (...given) => {
      const child = cli.spawnGit(...given)
      const exited = child.exited.finally(() => {
        if (isLed) rmSync(lock)
        isLed = false
      })
      return { ...child, exited }
    }
    await makeRepositories(join(dataDir, 'repositories'), spawnGit).moveRefs(app, [move])
    expect(isLed).toBe(false)
    expect(await cli.repositories.resolveBranch(app, 'main')).toBe(first)
    await expect(cli.repositories.moveRefs(app, [move])).rejects.toThrow('someone else pushed')
  })
})

describe('Git LFS', () => {
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${createHash('sha256').digest('hex')}\nsize 12345\n`

  it('pointers are found where .gitattributes speaks of LFS', async () => {
    await clone.commit('data/größe.bin', pointer)
    expect((await cli.source.surveyTree(app, await bring(), signal)).lfsPointers).toEqual([])
    await clone.commit('.gitattributes', '*.bin filter=lfs diff=lfs merge=lfs -text\n')
    expect((await cli.source.surveyTree(app, await bring(), signal)).lfsPointers).toEqual(['data/größe.bin'])
    for (let i = 0; i < 12; i++) await clone.commit(`data/${i}.bin`, pointer)
    expect((await cli.source.surveyTree(app, await bring(), signal)).lfsPointers).toHaveLength(10)
  })
})

describe('trees that explode', () => {
  const make = (args: string[], input: string | Buffer): string =>
    execFileSync('git', ['-C', cli.repositories.pathOf(app), ...args], {
      input,
      encoding: 'utf8',
      env: {
        PATH: process.env['PATH'],
        GIT_AUTHOR_NAME: 'a',
        GIT_AUTHOR_EMAIL: 'a@b',
        GIT_COMMITTER_NAME: 'a',
        GIT_COMMITTER_EMAIL: 'a@b',
      },
    }).trim()
  const bomb = (levels: number, bottom: string): string => {
    let tree = bottom
    for (let level = 0; level < levels; level++) {
      tree = make(['mktree'], Array.from({ length: 10 }, (_, i) => `040000 tree ${tree}\td${i}\n`).join(''))
    }
    return make(['commit-tree', tree, '-m', 'bomb'], '')
  }

  it.each([
    ['files', () => make(['mktree'], `100644 blob ${make(['hash-object', '-w', '--stdin'], 'x')}\tf\n`)],
    ['nothing but folders', () => make(['mktree'], '')],
  ])('of twelve objects (%s) are refused without unfolding them', async (_, bottom) => {
    const commit = bomb(10, bottom())
    const begun = performance.now()
    await expect(cli.source.surveyTree(app, commit, signal)).rejects.toMatchObject({ code: 'too_large' })
    // Under a second on a quiet machine; unfolded, hours.
    expect(performance.now() - begun).toBeLessThan(10_000)
    await eventually(
      () => processesIn(dataDir),
      (running) => running.length === 0,
    )
  })

  it('an ordinary one is measured', async () => {
    const commit = bomb(
      2,
      make(['mktree'], `100644 blob ${make(['hash-object', '-w', '--stdin'], 'twelve bytes')}\tf\n`),
    )
    expect(await cli.source.surveyTree(app, commit, signal)).toEqual({
      entries: 210,
      bytes: 1200,
      submodules: [],
      lfsPointers: [],
    })
  })
})

it('a repository is made once and holds no hook', async () => {
  await Promise.all(Array.from({ length: 5 }, () => cli.repositories.ensure('twice')))
  const names = readdirSync(join(dataDir, 'repositories')).filter(
    (name) => name.startsWith('.new') || name.startsWith('twice'),
  )
  expect(names).toEqual(['twice.git'])
  expect(readdirSync(cli.repositories.pathOf('twice'))).not.toContain('hooks')
})
