import { execFile } from 'node:child_process'
import { mkdtemp, open, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A file system of a few MB, which a test may fill to its last byte. */
export interface SmallDisk {
  readonly path: string
  /** Leaves `spare` bytes free. */
  fill(spare?: number): Promise<void>
  /** Takes away what `fill` wrote. */
  free(): Promise<void>
  unmount(): Promise<void>
}

const stepBytes = 1024 * 1024

export async function mountSmallDisk(megabytes: number, at?: string): Promise<SmallDisk> {
  const path = at ?? (await mkdtemp(join(tmpdir(), 'slw-disk-')))
  await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0711`, 'slipway-test', path])
  const ballast = join(path, '.ballast')
  return {
    path,
    async fill(spare = 0) {
      const file = await open(ballast, 'a')
      try {
        // Others write meanwhile: until nothing more goes in.
        for (;;) {
          const { bavail, bsize } = await statfs(path)
          const room = Math.min(stepBytes, bavail * bsize - spare)
          if (room <= 0) return
          const { bytesWritten } = await file.write(Buffer.alloc(room, 1))
          if (bytesWritten === 0) return
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      } finally {
        await file.close()
      }
    },
    free: () => rm(ballast, { force: true }),
    async unmount() {
      await run('umount', ['-l', path])
      if (at === undefined) await rm(path, { recursive: true, force: true })
    },
  }
}
