import { setTimeout as delay } from 'node:timers/promises'
import type { FaultKind } from './plan-round.ts'
import type { World } from './world.ts'

/** Does what its name says; resolves with how to mend it. */
type Breaking = (world: World) => Promise<Mending> | Mending
type Mending = () => Promise<void>

const nothing: Mending = async () => undefined

/** Slipway's own process; started again by the mending, as an operator or systemd would. */
const endSlipway =
  (signal: 'SIGKILL' | 'SIGTERM'): Breaking =>
  async ({ slipway }) => {
    await slipway.stop(signal)
    return () => startSlipway(slipway)
  }

const endEngine =
  (how: 'kill' | 'stop'): Breaking =>
  async ({ machine: { engine } }) => {
    await engine[how]()
    return () => engine.start()
  }

export const breakings: Readonly<Record<FaultKind, Breaking>> = {
  'kill slipway': endSlipway('SIGKILL'),
  'stop slipway': endSlipway('SIGTERM'),
  'freeze slipway': ({ slipway }) => freeze(slipway.pid()),
  // Slipway brings back what it started: the proxy and the database.
  'kill proxy': (world) => signal(world.proxyPid(), 'SIGKILL') ?? nothing,
  'freeze proxy': (world) => freeze(world.proxyPid()),
  'kill database': ({ database }) => signal(database.postmaster(), 'SIGKILL') ?? nothing,
  'stop database': ({ database }) => signal(database.postmaster(), 'SIGINT') ?? nothing,
  'freeze database': ({ database }) => {
    database.signalAll('SIGSTOP')
    return async () => database.signalAll('SIGCONT')
  },
  'kill engine': endEngine('kill'),
  'stop engine': endEngine('stop'),
  'freeze engine': ({ machine: { engine } }) => {
    engine.freeze()
    return async () => engine.thaw()
  },
  'cut engine connections': ({ machine }) => {
    machine.way?.cut()
    return nothing
  },
  'slow engine': ({ machine }) => {
    machine.way?.delay(500)
    return async () => machine.way?.delay(0)
  },
  'fill disk': async ({ disk }) => {
    await disk.fill()
    return () => disk.free()
  },
}

/** Whoever is to be stopped may have ended by an earlier fault. */
function signal(pid: number, name: NodeJS.Signals): null {
  try {
    if (pid > 1) process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
  return null
}

function freeze(pid: number): Mending {
  signal(pid, 'SIGSTOP')
  return async () => void signal(pid, 'SIGCONT')
}

const startWithinMs = 60_000

/**
 * As systemd does it: again and again, because a start is refused while something else is still broken. Twice the same fault in a round:
 * it runs already.
 */
async function startSlipway(slipway: World['slipway']): Promise<void> {
  for (const end = Date.now() + startWithinMs; !isRunning(slipway.pid()); ) {
    try {
      await slipway.start()
    } catch (error) {
      if (Date.now() > end) throw error
      await delay(500)
    }
  }
}

export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
