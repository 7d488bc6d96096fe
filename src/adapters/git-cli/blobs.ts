import type { SpawnGit } from '../../git/index.ts'
import { runGit } from './spawn-git.ts'

/** The contents of blobs by id, in one process. What is not there is left out. */
export async function readBlobs(
  spawnGit: SpawnGit,
  where: { repository: string; signal?: AbortSignal },
  ids: readonly string[],
): Promise<Map<string, Buffer>> {
  const contents = new Map<string, Buffer>()
  if (ids.length === 0) return contents
  const { stdout } = await runGit(spawnGit, ['cat-file', '--batch', '--buffer'], {
    ...where,
    input: `${[...new Set(ids)].join('\n')}\n`,
  })
  // `<id> blob <size>\n<content>\n`, one after the other.
  for (let at = 0; at < stdout.length; ) {
    const end = stdout.indexOf(10, at)
    const [id = '', type, size = '0'] = stdout.subarray(at, end).toString('latin1').split(' ')
    const from = end + 1
    if (type === 'missing') {
      at = from
      continue
    }
    contents.set(id, stdout.subarray(from, from + Number(size)))
    at = from + Number(size) + 1
  }
  return contents
}
