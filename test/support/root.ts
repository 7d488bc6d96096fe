import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The checkout. Programs that run tests are started somewhere in it; module paths differ between CommonJS and ESM. */
export const root = findRoot(process.cwd())

function findRoot(folder: string): string {
  if (existsSync(join(folder, 'sql/migrations'))) return folder
  if (folder === dirname(folder)) throw new Error('started outside of the checkout')
  return findRoot(dirname(folder))
}
