import { readFile, statfs } from 'node:fs/promises'
import type { Room } from '../../kernel/room.ts'
import type { Engine } from './engine.ts'

export interface HostFacts {
  /** Such as linux/amd64. */
  readonly platform: string
  /** Where the engine keeps images. */
  readonly dataRoot: string
}

/** Facts that do not change while the engine lives; asked again after a failure. */
export function rememberHost(engine: Engine): () => Promise<HostFacts> {
  let known: Promise<HostFacts> | null = null
  const ask = async (): Promise<HostFacts> => {
    const [version, info] = await Promise.all([
      engine.call('version', (docker) => docker.version()),
      engine.call('info', (docker) => docker.info() as Promise<{ DockerRootDir: string }>),
    ])
    return { platform: `${version.Os}/${version.Arch}`, dataRoot: info.DockerRootDir }
  }
  return async () => {
    known ??= ask()
    try {
      return await known
    } catch (error) {
      known = null
      throw error
    }
  }
}

/** Infinity when the folder is not on this machine, or not to be seen. */
export async function freeBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder)
    return bavail * bsize
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/** null when the folder is not on this machine, or not to be seen. */
export async function readDisk(folder: string): Promise<Room | null> {
  try {
    const { bavail, blocks, bsize } = await statfs(folder)
    return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize }
  } catch {
    return null
  }
}

/** The host's memory, also from inside a container: free is what the kernel says can be had without swapping. */
export async function readMemory(): Promise<Room | null> {
  const text = await readFile('/proc/meminfo', 'utf8').catch(() => '')
  const kilobytes = (name: string): number => Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(text)?.[1])
  const [freeBytes, sizeBytes] = [kilobytes('MemAvailable') * 1024, kilobytes('MemTotal') * 1024]
  return Number.isNaN(freeBytes + sizeBytes) ? null : { freeBytes, sizeBytes }
}
