import { Readable } from 'node:stream'
import type { Source, WantedFile } from '../../builds/index.ts'
import type { SpawnGit } from '../../git/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import { parseCommitId, quote } from '../../kernel/names.ts'
import { readBlobs } from './blobs.ts'
import { makeLfsTraces } from './lfs-pointers.ts'
import { runGit } from './spawn-git.ts'
import { parseEntry, type TreeEntry, walkTree } from './tree.ts'

const mostSubmodules = 10
/** The engine may be slow in taking it; the build's own time ends it long before the total. */
const archiveLimits = { idleMs: 60_000, totalMs: 4 * 60 * 60_000 }

/** Reads commits of the apps' repositories. */
export function makeSource(spawnGit: SpawnGit, pathOf: (app: string) => string): Source {
  return {
    async readFiles(app, commit, wanted) {
      const repository = pathOf(app)
      const paths = wanted.map(({ path }) => parsePath(path))
      const entries = await listEntries(spawnGit, { repository, commit: parseCommitId(commit), paths })
      const fits = (entry: TreeEntry | undefined, i: number): entry is TreeEntry =>
        entry !== undefined && entry.size <= (wanted[i]?.maxBytes ?? 0)
      const blobs = await readBlobs(
        spawnGit,
        { repository },
        entries.filter(fits).map(({ id }) => parseCommitId(id)),
      )
      return entries.map((entry, i) => {
        if (entry === undefined) return null
        if (!fits(entry, i)) return tooLong(wanted[i] as WantedFile)
        const content = blobs.get(entry.id)
        if (content === undefined) throw unreadable(commit, `the blob ${entry.id} is missing`)
        return content
      })
    },
    async surveyTree(app, commit, signal) {
      const submodules: string[] = []
      const lfs = makeLfsTraces()
      const repository = pathOf(app)
      const size = await walkTree(spawnGit, { repository, commit: parseCommitId(commit), signal }, (entry) => {
        lfs.note(entry)
        if (entry.type === 'commit' && submodules.length < mostSubmodules)
          submodules.push(Buffer.from(entry.path, 'latin1').toString('utf8'))
      })
      return { ...size, submodules, lfsPointers: await lfs.find(spawnGit, { repository, signal }) }
    },
    archive(app, commit, context, signal) {
      const folder = context === '.' ? '' : `:${parsePath(context)}`
      return archive(spawnGit, { repository: pathOf(app), tree: parseCommitId(commit) + folder, signal })
    },
  }
}

/** The entries of files at these paths, in their order; undefined for what is not there or no file. */
async function listEntries(
  spawnGit: SpawnGit,
  { repository, commit, paths }: { repository: string; commit: string; paths: readonly string[] },
): Promise<(TreeEntry | undefined)[]> {
  const listing = await runGit(spawnGit, ['ls-tree', '-l', '-z', '--full-tree', commit, '--', ...paths], {
    repository,
    maxOutputBytes: 64 * 1024,
  })
  if (listing.code !== 0) throw unreadable(commit, listing.stderr)
  const lines = listing.stdout.toString('latin1').split('\0')
  const files = lines.filter((line) => line !== '').map(parseEntry)
  const byPath = new Map(files.filter(({ mode }) => mode.startsWith('100')).map((entry) => [entry.path, entry]))
  return paths.map((path) => byPath.get(Buffer.from(path).toString('latin1')))
}

function tooLong({ path, maxBytes }: WantedFile): SlipwayError {
  return new SlipwayError('too_large', `The file ${quote(path)} is larger than ${maxBytes / 1024} KiB.`, {
    hint: 'Nothing was built.',
  })
}

/** Git starts when the stream is first read, and ends when the stream is destroyed. */
function archive(spawnGit: SpawnGit, options: { repository: string; tree: string; signal: AbortSignal }): Readable {
  async function* read(): AsyncGenerator<Buffer> {
    options.signal.throwIfAborted()
    const child = spawnGit(['archive', '--format=tar', options.tree], {
      env: { GIT_DIR: options.repository },
      limits: { ...archiveLimits, signal: options.signal },
    })
    child.stdin.end()
    try {
      yield* child.stdout as AsyncIterable<Buffer>
      const exit = await child.exited
      if (exit.endedFor !== null) throw exit.endedFor
      // A commit that is not there makes an empty archive and an exit code.
      if (exit.code !== 0) throw unreadable(options.tree, exit.outOfMemory ? 'git ran out of memory' : exit.stderr)
    } finally {
      child.kill()
    }
  }
  return Readable.from(read(), { objectMode: false })
}

/** A path inside the repository, as `slipway.yml` may name one: relative, without `..`. */
function parsePath(path: string): string {
  const parts = path.split('/').filter((part) => part !== '.' && part !== '')
  if (path.startsWith('/') || parts.length === 0 || parts.includes('..') || path.includes('\0')) {
    throw new SlipwayError('bad_request', `${quote(path)} is not a path inside the repository.`, {
      hint: 'Give it relative to the top folder of the repository, without “..”.',
    })
  }
  return parts.join('/')
}

function unreadable(what: string, stderr: string): SlipwayError {
  return new SlipwayError('not_found', `Git cannot read ${quote(what.slice(0, 60))}.`, {
    evidence: stderr.split('\n').filter((line) => line !== ''),
  })
}
