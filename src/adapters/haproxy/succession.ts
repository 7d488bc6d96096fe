import { keepAliveMs } from './config.ts'
import { isOwnProcess, listPredecessors } from './launch.ts'

/** Which process leads the requests, and which of before still finish what they have. */
export interface Succession {
  /** This one does: what else runs then only finishes what it has. */
  leadsNow(pid: number): Promise<void>
  readonly leading: () => number | null
  /** Whether a process from before a reload still finishes its connections. */
  readonly hasPredecessor: () => Promise<boolean>
  /** Whether such a process may still be sent a new request, which it leads as it was led before the reload. */
  readonly predecessorLeads: () => Promise<boolean>
}

export function makeSuccession(dataDir: string): Succession {
  let leading: number | null = null
  let predecessors: number[] = []
  let sinceMs = 0

  const hasPredecessor = async (): Promise<boolean> => {
    const alive = await Promise.all(predecessors.map((pid) => isOwnProcess(dataDir, pid)))
    predecessors = predecessors.filter((_, i) => alive[i])
    return predecessors.length > 0
  }

  return {
    async leadsNow(pid) {
      predecessors = await listPredecessors(dataDir, pid)
      sinceMs = performance.now()
      leading = pid
    },
    leading: () => leading,
    hasPredecessor,
    // Later only what was open all the time is: a client's connection without a request has ended.
    predecessorLeads: async () => performance.now() - sinceMs < keepAliveMs && (await hasPredecessor()),
  }
}
