import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type Slipway, waitFor } from './slipway.ts'

/** The PostgreSQL that a Slipway started for itself, to be killed, restarted and frozen. */
export interface OwnDatabase {
  postmaster(): number
  /** To the server and all its backends. */
  signalAll(signal: NodeJS.Signals): void
  /** Ends the server by this signal, and waits until Slipway has brought it back. */
  endAndWait(signal: 'SIGKILL' | 'SIGINT'): Promise<void>
}

export function ownDatabaseOf(slipway: Slipway): OwnDatabase {
  const folder = join(slipway.dataDir, 'postgres/control')
  const postmaster = (): number => Number(readFileSync(join(folder, 'postmaster.pid'), 'utf8').split('\n')[0])
  /** They work in its data folder. */
  const processes = (): number[] =>
    readdirSync('/proc').flatMap((entry) => {
      try {
        return readlinkSync(`/proc/${entry}/cwd`) === folder ? [Number(entry)] : []
      } catch {
        return []
      }
    })
  const signal = (pid: number, name: NodeJS.Signals): void => {
    try {
      process.kill(pid, name)
    } catch (error) {
      // A backend may end by itself before its turn.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  return {
    postmaster,
    signalAll: (name) => processes().forEach((pid) => signal(pid, name)),
    async endAndWait(name) {
      const pid = postmaster()
      signal(pid, name)
      await waitFor('the database to answer again', 30_000, () =>
        slipway.sql('select 1').then(
          () => postmaster() !== pid,
          () => false,
        ),
      )
    },
  }
}
