import { join } from 'node:path'
import type { Source } from '../../builds/index.ts'
import type { Repositories, SpawnGit } from '../../git/index.ts'
import { makeGitEnvironment } from './git-environment.ts'
import { makeMemoryBound, type MemoryBound } from './memory-bound.ts'
import { makeRepositories } from './repositories.ts'
import { makeSource } from './source.ts'
import { makeSpawnGit } from './spawn-git.ts'

export interface GitCliOptions {
  readonly dataDir: string
  /** Names the cgroup: two installations on one machine keep apart. */
  readonly installation: string
  readonly hooksDir: string
  readonly maxPushBytes: number
  /** For each git child with its own children; 512 MB unless told. */
  readonly childMemoryBytes?: number
}

export interface GitCli {
  readonly repositories: Repositories
  readonly source: Source
  /** For transports: receive-pack and upload-pack. */
  readonly spawnGit: SpawnGit
  /** How memory is bounded on this machine; for the start log and `doctor`. */
  readonly memoryBound: MemoryBound['kind']
}

export function makeGitCli(options: GitCliOptions): GitCli {
  const memory = makeMemoryBound({
    name: `slipway-git-${options.installation}`,
    bytes: options.childMemoryBytes ?? 512 * 1024 * 1024,
  })
  const environment = makeGitEnvironment(options)
  const spawnGit = makeSpawnGit({ environment, memory })
  // Questions to git's refs and commits are small and asked often; a cgroup for each would cost more than they do.
  const repositories = makeRepositories(
    join(options.dataDir, 'repositories'),
    makeSpawnGit({ environment, memory: unbounded }),
    spawnGit,
  )
  return { repositories, source: makeSource(spawnGit, repositories.pathOf), spawnGit, memoryBound: memory.kind }
}

const unbounded: MemoryBound = {
  kind: 'data limit',
  wrap: (argv) => argv,
  add: () => ({ joined: Promise.resolve(), outOfMemory: () => false, release: () => undefined }),
}
