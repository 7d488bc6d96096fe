import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from './root.ts'

const run = promisify(execFile)

/** The last commit of 0.1.0. */
const lastOf010 = '4c98237b2e212649df1ecb23530163a0752d6b06'
const copyVersion = '0.1.9'

/** A Slipway from before this one, in a folder of its own. */
export interface OlderProgram {
  readonly folder: string
  /** What it says of a database that had the migrations of 0.2.0. */
  readonly refusal: string
  /** Takes from it what a version before this one does not have; it must not run. */
  forget(): Promise<void>
  remove(): Promise<void>
}

/**
 * The program of 0.1.0 where the history has it. In a shallow clone it is this one under an older version, which sets its proxy up
 * otherwise.
 */
export async function layOlderProgram(): Promise<OlderProgram> {
  const folder = await mkdtemp(join(tmpdir(), 'older-'))
  const isReal = await unpack(folder)
  if (!isReal) await copyAsOlder(folder)
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  return {
    folder,
    // Migrations say only since then with which version they work.
    refusal: isReal
      ? 'The database was changed by a newer Slipway (0002_builds.sql).'
      : `The database needs Slipway 0.2.0 or newer; this is ${copyVersion}.`,
    async forget() {
      if (!isReal) await rm(join(folder, 'sql/migrations/0002_builds.sql'))
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

async function unpack(folder: string): Promise<boolean> {
  const archive = join(folder, 'older.tar')
  const made = await run('git', ['-C', root, 'archive', '--output', archive, lastOf010]).then(
    () => true,
    () => false,
  )
  if (!made) return false
  await run('tar', ['-x', '-f', archive, '-C', folder])
  await rm(archive)
  return true
}

async function copyAsOlder(folder: string): Promise<void> {
  for (const part of ['src', 'sql', 'hooks', 'docker', 'package.json'])
    await cp(join(root, part), join(folder, part), { recursive: true })
  await replaceIn(join(folder, 'package.json'), /"version": "[^"]+"/, `"version": "${copyVersion}"`)
  await replaceIn(join(folder, 'src/adapters/haproxy/config.ts'), "'stats timeout 1h'", "'stats timeout 2h'")
}

async function replaceIn(path: string, what: string | RegExp, by: string): Promise<void> {
  const text = await readFile(path, 'utf8')
  const replaced = text.replace(what, by)
  if (replaced === text) throw new Error(`${path} has no ${String(what)}`)
  await writeFile(path, replaced)
}
