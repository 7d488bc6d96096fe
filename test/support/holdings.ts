import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Slipway } from './slipway.ts'

const run = promisify(execFile)

/**
 * All that an installation has on the engine, in its table of addresses and in its proxy: what a deploy that failed must not
 * leave behind.
 */
export interface Holdings {
  /** Names of containers, those of builds too. */
  readonly containers: string[]
  /** Builds' images and what the engine left between their steps. */
  readonly images: number
  /** Addresses that an instance has. */
  readonly addresses: number
  /** Host names and addresses in the proxy's maps. */
  readonly hosts: string[]
  readonly targets: string[]
}

export async function listHoldings(slipway: Slipway): Promise<Holdings> {
  const label = `label=slipway.installation=${slipway.installation}`
  const [containers, images, taken, hosts, targets] = await Promise.all([
    lines('ps', '-a', '--filter', label, '--format', '{{.Names}}'),
    lines('images', '-aq', '--no-trunc', '--filter', label),
    slipway.sql('select 1 from addresses where instance_id is not null'),
    mapKeys(slipway, 'hosts'),
    mapKeys(slipway, 'targets'),
  ])
  return { containers: containers.sort(), images: new Set(images).size, addresses: taken.length, hosts, targets }
}

async function lines(...args: string[]): Promise<string[]> {
  const { stdout } = await run('docker', args)
  return stdout.split('\n').filter((line) => line !== '')
}

async function mapKeys(slipway: Slipway, name: string): Promise<string[]> {
  const text = await readFile(join(slipway.dataDir, 'proxy', 'maps', `${name}.map`), 'utf8')
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(' ')[0] ?? '')
    .sort()
}

/** Files of a repository that only a push on its way has: objects in quarantine, half packs, locks. */
export async function listPushRemains(slipway: Slipway): Promise<string[]> {
  for (let left = 50; ; left -= 1) {
    try {
      const files = await readdir(join(slipway.dataDir, 'repositories'), { recursive: true })
      return files.filter((file) => /incoming-|tmp_|\.lock$|\.new-/.test(file))
    } catch (error) {
      // A folder went between being listed and being read.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || left === 0) throw error
    }
  }
}
