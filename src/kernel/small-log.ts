import { copyFile, stat, truncate } from 'node:fs/promises'

/**
 * Keeps a log that another program appends to from growing: past `limit` bytes its content moves to `<path>.1` and it begins
 * anew. The writer must append (O_APPEND); lines written between the two steps are lost, which a server's own log can bear.
 */
export async function keepLogSmall(path: string, limit: number): Promise<void> {
  const size = await stat(path).then(
    (stats) => stats.size,
    () => 0,
  )
  if (size <= limit) return
  await copyFile(path, `${path}.1`)
  await truncate(path)
}
