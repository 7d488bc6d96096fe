import type { SpawnGit } from '../../git/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import { runGit } from './spawn-git.ts'
import { sweepRepository } from './sweep.ts'

/** A first packing of a large history takes minutes; more than this is not worth the disk's time. */
const packLimitMs = 30 * 60_000
const temporaryAgeMs = 24 * 60 * 60_000

/**
 * What git itself would do after a push, at a quiet time: many loose objects or packs become one pack. `git gc` rather than
 * `git maintenance`: it knows by its own record whether another one is at work, while a killed `maintenance` leaves a lock
 * that silently stops all later ones. Two weeks: a push in another process, or one that was just received, may refer to what
 * no ref reaches yet.
 */
const settings = [
  ['gc.auto', '1000'],
  ['gc.autoPackLimit', '10'],
  ['gc.autoDetach', 'false'],
  ['gc.pruneExpire', '2.weeks.ago'],
  ['gc.writeCommitGraph', 'false'],
] as const

export async function tidyRepository(spawnGit: SpawnGit, repository: string, signal: AbortSignal): Promise<void> {
  await sweepRepository(repository, { temporaryMs: temporaryAgeMs })
  const run = async (...args: string[]): Promise<void> => {
    const { code, stderr, outOfMemory } = await runGit(spawnGit, args, { repository, signal, timeoutMs: packLimitMs })
    if (code === 0) return
    throw new SlipwayError(
      'internal',
      `Git could not tidy ${repository}${outOfMemory ? ': it needs more memory' : ''}.`,
      {
        evidence: [stderr],
      },
    )
  }
  try {
    // Hidden refs are a file each until then.
    await run('pack-refs', '--all')
    await run(...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`]), 'gc', '--auto', '--quiet')
  } catch (error) {
    // One in ten that are ended leaves a lock (measured), and until it goes no ref can be deleted, that one not be moved, or
    // nothing be tidied; others leave packs half made. Nobody else has any: nobody pushes.
    await sweepRepository(repository, { lockMs: 0 })
    throw error
  }
}
