import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** As the package has it. @param root Slipway’s own folder */
export async function readOwnVersion(root: string): Promise<string> {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  return version
}
