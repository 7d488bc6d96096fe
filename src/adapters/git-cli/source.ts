import { Readable } from 'node:stream'
import type { Source } from '../../builds/index.ts'
import type { SpawnGit } from '../../git/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import { parseCommitId, quote } from '../../kernel/names.ts'
import { findLfsPointersIn } from './lfs-pointers.ts'
import { runGit } from './spawn-git.ts'
import { parseEntry, walkTree } from './tree.ts'

const mostSubmodules = 10

/** Reads commits of the apps' repositories. */
export function makeSource(spawnGit: SpawnGit, pathOf: (app: string) => string): Source {
  return {
    async readFile(app, commit, path, maxBytes) {
      const repository = pathOf(app)
      const listing = await runGit(
        spawnGit,
        ['ls-tree', '-l', '-z', '--full-tree', parseCommitId(commit), '--', parsePath(path)],
        { repository, maxOutputBytes: 64 * 1024 },
      )
      if (listing.code !== 0) throw unreadable(commit, listing.stderr)
      const line = listing.stdout.toString('latin1').split('\0')[0] ?? ''
      const entry = parseEntry(line)
      if (line === '' || !entry.mode.startsWith('100')) return null
      if (entry.size > maxBytes) {
        throw new SlipwayError('too_large', `The file ${quote(path)} is larger than ${maxBytes / 1024} KiB.`, {
          hint: 'Nothing was built.',
        })
      }
      const blob = await runGit(spawnGit, ['cat-file', 'blob', parseCommitId(entry.id)], {
        repository,
        maxOutputBytes: maxBytes,
      })
      if (blob.code !== 0) throw unreadable(commit, blob.stderr)
      return blob.stdout
    },
    async measureTree(app, commit, signal) {
      const submodules: string[] = []
      const size = await walkTree(
        spawnGit,
        { repository: pathOf(app), commit: parseCommitId(commit), signal },
        ({ type, path }) => {
          if (type === 'commit' && submodules.length < mostSubmodules)
            submodules.push(Buffer.from(path, 'latin1').toString('utf8'))
        },
      )
      return { ...size, submodules }
    },
    async findLfsPointers(app, commit, signal) {
      return findLfsPointersIn(spawnGit, { repository: pathOf(app), commit: parseCommitId(commit), signal })
    },
    archive(app, commit, context, signal) {
      const folder = context === '.' ? '' : `:${parsePath(context)}`
      return archive(spawnGit, { repository: pathOf(app), tree: parseCommitId(commit) + folder, signal })
    },
  }
}

/** Git starts when the stream is first read, and ends when the stream is destroyed. */
function archive(spawnGit: SpawnGit, options: { repository: string; tree: string; signal: AbortSignal }): Readable {
  async function* read(): AsyncGenerator<Buffer> {
    options.signal.throwIfAborted()
    const child = spawnGit(['archive', '--format=tar', options.tree], { env: { GIT_DIR: options.repository } })
    child.stdin.end()
    options.signal.addEventListener('abort', child.kill, { once: true })
    try {
      yield* child.stdout as AsyncIterable<Buffer>
      const exit = await child.exited
      options.signal.throwIfAborted()
      // A commit that is not there makes an empty archive and an exit code.
      if (exit.code !== 0) throw unreadable(options.tree, exit.outOfMemory ? 'git ran out of memory' : exit.stderr)
    } finally {
      options.signal.removeEventListener('abort', child.kill)
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
