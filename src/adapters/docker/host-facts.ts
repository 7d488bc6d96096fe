import { statfs } from 'node:fs/promises'
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
