import { randomBytes } from 'node:crypto'
import { access, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { simpleGit } from 'simple-git'
import { type Commit, heldRefs, type RefMove, type Repositories, type SpawnGit, zeroId } from '../../git/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import { parseAppName, parseBranchName, parseCommitId, quote } from '../../kernel/names.ts'
import { withTimeout } from '../../kernel/timeout.ts'
import { plainEnvironment } from './git-environment.ts'
import { tidyRepository } from './maintenance.ts'
import { explainRefFailure, isAboutHead } from './ref-failures.ts'
import { resolveBranch, resolveCommit } from './resolve-commit.ts'
import { runGit } from './spawn-git.ts'
import { sweepRepository } from './sweep.ts'

/** Somebody leads HEAD to another branch at this moment; git wants to hold it, too, when the branch moves that it names. */
const headWaitsMs = [20, 100, 400]
const newPrefix = '.new-'
const gonePrefix = '.gone-'
const empty = '.empty.git'

/** Bare repositories below `root`, one folder for each app. No hooks, no configuration of their own beyond git's. */
export function makeRepositories(root: string, spawnGit: SpawnGit, spawnBounded = spawnGit): Repositories {
  const pathOf = (app: string): string => join(root, `${parseAppName(app)}.git`)
  const run = (app: string, args: readonly string[], input?: string | Buffer) =>
    runGit(spawnGit, args, { repository: pathOf(app), ...(input === undefined ? {} : { input }) })

  const moveRefs = (app: string, moves: readonly RefMove[]): Promise<void> =>
    updateRefs(moves, (args, input) => run(app, args, input))

  return {
    pathOf,
    ensure: (app) => ensureAt(root, pathOf(app)),
    exists: (app) => isThere(pathOf(app)),
    async emptyPath() {
      await ensureAt(root, join(root, empty))
      return join(root, empty)
    },
    async removeIfEmpty(app) {
      const { code, stdout } = await run(app, ['for-each-ref', '--count=1'])
      if (code === 0 && stdout.length === 0) await rm(pathOf(app), { recursive: true, force: true })
    },
    async remove(app) {
      // Out of the way in one step: nobody finds half a repository.
      const gone = join(root, `${gonePrefix}${randomBytes(6).toString('hex')}`)
      await rename(pathOf(app), gone).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      })
      await rm(gone, { recursive: true, force: true })
    },
    resolveCommit: (app, given) => resolveCommit(given, (args) => run(app, args)),
    resolveBranch: async (app, branch) => resolveBranch(branch, (args) => run(app, args)),
    async isAncestor(app, ancestor, descendant) {
      const { code, stderr } = await run(app, [
        'merge-base',
        '--is-ancestor',
        parseCommitId(ancestor),
        parseCommitId(descendant),
      ])
      if (code === 0 || code === 1) return code === 0
      throw new SlipwayError('internal', 'Git could not compare two commits.', { evidence: [stderr] })
    },
    async countBetween(app, from, to) {
      const range = from === null ? parseCommitId(to) : `${parseCommitId(from)}...${parseCommitId(to)}`
      const { code, stdout } = await run(app, ['rev-list', '--left-right', '--count', '--end-of-options', range])
      const [left, added] = stdout.toString('latin1').trim().split('\t').map(Number)
      return code !== 0 || left === undefined || added === undefined ? null : { added, left }
    },
    async listBetween(app, { from, to, limit }) {
      const range = from === null ? parseCommitId(to) : `${parseCommitId(from)}..${parseCommitId(to)}`
      const { code, stdout } = await run(app, [...logOfCommits, `--max-count=${limit}`, '--end-of-options', range])
      return code === 0 ? readCommits(stdout.toString('utf8')) : []
    },
    describeCommits: async (app, ids) =>
      ids.length > 0 && (await isThere(pathOf(app)))
        ? describeCommits(ids, (...asked) => run(app, ...asked))
        : new Map(),
    moveRefs,
    async listRefs(app, prefix) {
      if (!(await mayHaveRefs(pathOf(app), prefix))) return new Map()
      const { stdout } = await run(app, ['for-each-ref', '--format=%(objectname) %(refname)', prefix])
      const lines = stdout.toString('latin1').split('\n')
      return new Map(lines.filter((line) => line !== '').map((line) => [line.slice(41), line.slice(0, 40)]))
    },
    async setHead(app, branch) {
      await askSimply(pathOf(app), ['symbolic-ref', 'HEAD', `refs/heads/${parseBranchName(branch)}`])
    },
    keepCommit: (app, deployId, commit) =>
      moveRefs(app, [{ ref: heldRefs.ofDeploy(deployId), old: null, new: parseCommitId(commit) }]),
    dropKept: (app, deployIds) =>
      moveRefs(
        app,
        deployIds.map((id) => ({ ref: heldRefs.ofDeploy(id), old: null, new: zeroId })),
      ),
    async sweep() {
      for (const name of await readdir(root).catch(() => [])) {
        if (name.startsWith(newPrefix) || name.startsWith(gonePrefix))
          await rm(join(root, name), { recursive: true, force: true })
        else if (name.endsWith('.git')) await sweepRepository(join(root, name))
      }
    },
    tidy: (app, signal) => tidyRepository(spawnBounded, pathOf(app), signal),
  }
}

// simple-git starts git for what is asked rarely; its guard lets no `GIT_…` variable through that is not named here. The one
// template folder ever given is the empty name: no templates.
const options = {
  allowEnvironment: ['GIT_CONFIG_NOSYSTEM', 'GIT_CONFIG_GLOBAL'],
  unsafe: { allowUnsafeTemplateDir: true, allowUnsafeConfigPaths: true },
}
const { PATH, HOME, LC_ALL, GIT_CONFIG_NOSYSTEM, GIT_CONFIG_GLOBAL } = plainEnvironment as Record<string, string>
const environment = { PATH, HOME, LC_ALL, GIT_CONFIG_NOSYSTEM, GIT_CONFIG_GLOBAL } as Record<string, string>

/** Milliseconds of work; its own limit is by signals alone, which a process that hangs does not hear. */
const simpleMs = 10_000

function askSimply(baseDir: string, args: string[]): Promise<string> {
  return withTimeout({ ms: simpleMs, what: `git ${args[0] ?? ''}` }, async (abort) =>
    simpleGit({ baseDir, abort, ...options })
      .env(environment)
      .raw(args),
  )
}

/** Made beside its place and renamed, so that a half-made repository is never found. */
async function ensureAt(root: string, path: string): Promise<void> {
  if (await isThere(path)) return
  await mkdir(root, { recursive: true, mode: 0o700 })
  const fresh = await mkdtemp(join(root, newPrefix))
  try {
    await askSimply(fresh, [
      ...['init', '--bare', '--quiet', '--template='],
      ...['--initial-branch=main', '--object-format=sha1'],
    ])
    // A build gets what the commit holds: these two leave out or rewrite files in release archives.
    await mkdir(join(fresh, 'info'), { recursive: true })
    await writeFile(join(fresh, 'info', 'attributes'), '* -export-ignore -export-subst\n')
    await rename(fresh, path)
  } catch (error) {
    await rm(fresh, { recursive: true, force: true })
    if (!(await isThere(path))) throw error
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(join(path, 'HEAD')).then(
    () => true,
    () => false,
  )
}

/** Looks before it asks git: at start this is asked of every repository. */
async function mayHaveRefs(path: string, prefix: string): Promise<boolean> {
  const places = [join(path, prefix), join(path, 'packed-refs')].map((place) => access(place))
  return Promise.any(places).then(
    () => true,
    () => false,
  )
}

/** Of authors and subjects only the beginning: both may be as long as their pusher likes. They come last: both may hold the sign between. */
const commitFormat = '%H%x1f%ct%x1f%<(200,trunc)%an%x1f%<(300,trunc)%s'

/** A commit may say any time; one after the year 9999 cannot be told, and is that. */
const lastSecond = 253_402_300_799

const logOfCommits = ['log', '-z', '--encoding=UTF-8', `--format=${commitFormat}`]

type AskWithInput = (args: readonly string[], input: string) => Promise<{ code: number | null; stdout: Buffer }>

async function describeCommits(ids: readonly string[], ask: AskWithInput): Promise<Map<string, Commit>> {
  const input = [...new Set(ids)].map((id) => `${parseCommitId(id)}\n`).join('')
  const { code, stdout } = await ask([...logOfCommits, '--no-walk=unsorted', '--ignore-missing', '--stdin'], input)
  const found = code === 0 ? readCommits(stdout.toString('utf8')) : []
  return new Map(found.map((commit) => [commit.id, commit]))
}

function readCommits(text: string): Commit[] {
  return text
    .split('\0')
    .filter((record) => record !== '')
    .map((record) => {
      const [id = '', seconds = '0', author = '', subject = ''] = record.split('\u001f')
      return {
        id,
        author: author.trim().slice(0, 200),
        at: new Date(Math.min(Math.max(0, Number(seconds)), lastSecond) * 1000),
        subject: subject.trim().slice(0, 300),
      }
    })
}

type Change = (args: readonly string[], input: Buffer) => Promise<{ code: number | null; stderr: string }>

async function updateRefs(moves: readonly RefMove[], change: Change): Promise<void> {
  if (moves.length === 0) return
  for (const waitMs of [...headWaitsMs, null]) {
    const { code, stderr } = await change(['update-ref', '--stdin', '-z'], updateCommands(moves))
    if (code === 0) return
    if (waitMs === null || !isAboutHead(stderr)) throw explainRefFailure(stderr)
    await setTimeout(waitMs)
  }
}

/** NUL-separated, so that no name can end its command. */
function updateCommands(moves: readonly RefMove[]): Buffer {
  const text = moves.map(({ ref, old, new: to }) => {
    if (ref.includes('\0') || !ref.startsWith('refs/'))
      throw new SlipwayError('bad_request', `${quote(ref)} is no ref.`)
    const before = old ?? ''
    return to === zeroId ? `delete ${ref}\0${before}\0` : `update ${ref}\0${to}\0${before}\0`
  })
  return Buffer.from(text.join(''), 'latin1')
}
