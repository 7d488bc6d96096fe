import { randomBytes } from 'node:crypto'
import { descendants, residentMb } from './process-figures.ts'
import { makePusher } from './pusher.ts'
import type { BenchServer } from './server.ts'

export interface MemoryFigures {
  /** Slipway's own process before the push, MB. */
  readonly before: number
  /** Its highest while the pack came in and was built, sampled. */
  readonly duringPush: number
  /** The most that git's processes had together at one moment. */
  readonly children: number
  readonly seconds: number
}

/** Pushes `megabytes` of noise, and lets it be built: the pack comes in, and the context goes out through the process. */
export async function measureMemory(server: BenchServer, megabytes: number): Promise<MemoryFigures> {
  const pusher = await makePusher(`${server.controlUrl}/large.git`, server.token)
  const before = residentMb(server.pid)?.now ?? 0
  const highest = { own: before, children: 0 }
  const timer = setInterval(() => {
    highest.own = Math.max(highest.own, residentMb(server.pid)?.now ?? 0)
    const together = descendants(server.pid).reduce((sum, pid) => sum + (residentMb(pid)?.now ?? 0), 0)
    highest.children = Math.max(highest.children, together)
  }, 20)
  try {
    const noise = Object.fromEntries(
      Array.from({ length: 4 }, (_, i) => [`noise-${i}.bin`, randomBytes((megabytes / 4) * 1024 * 1024)]),
    )
    await pusher.commit({
      Dockerfile:
        'FROM slipway-test/busybox:1\nCOPY www /www\nCMD ["/bin/sh", "-c", "exec httpd -f -p $PORT -h /www"]\n',
      'www/index.html': 'large\n',
      ...noise,
    })
    const begun = performance.now()
    await pusher.push('main')
    return { before, duringPush: highest.own, children: highest.children, seconds: (performance.now() - begun) / 1000 }
  } finally {
    clearInterval(timer)
    await pusher.remove()
  }
}
