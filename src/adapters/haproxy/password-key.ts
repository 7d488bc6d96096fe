import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Secret } from '../../kernel/secret.ts'
import { writeWholeFile } from '../../kernel/whole-file.ts'
import { proxyPaths } from './paths.ts'

/**
 * What the proxy and Slipway hash passwords of protected sites with: 32 bytes as base64. Made once, and never changed: with
 * another one no password would be right any more. The proxy and Slipway may both be the first to want it.
 */
export async function ensurePasswordKey(dataDir: string): Promise<Secret> {
  const { passwordKey } = proxyPaths(dataDir)
  const there = await read(passwordKey)
  if (there !== null) return there
  await mkdir(dirname(passwordKey), { recursive: true, mode: 0o700 })
  const mine = `${passwordKey}.${process.pid}`
  await writeWholeFile(mine, `${randomBytes(32).toString('base64')}\n`, 0o600)
  await link(mine, passwordKey).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  await rm(mine, { force: true })
  return new Secret((await readFile(passwordKey, 'utf8')).trim())
}

async function read(path: string): Promise<Secret | null> {
  try {
    return new Secret((await readFile(path, 'utf8')).trim())
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
