import { randomBytes } from 'node:crypto'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { limits, untilRetired } from './deploy-overhead.ts'
import { answers, docker, makeNetwork } from './floor.ts'
import { getOnce } from './http-probe.ts'
import { residentMb } from './process-figures.ts'
import { makePusher, type Pusher } from './pusher.ts'
import type { BenchServer } from './server.ts'
import { waitFor } from './wait.ts'

export const slots = 2

export interface ConcurrencyRounds {
  readonly apps: number
  /** Seconds from the beginning of all pushes until the last `git push` has returned. */
  readonly slipway: readonly number[]
  /** Seconds until the last container answers. */
  readonly byHand: readonly number[]
  /** Pushes that did not go live, or whose address did not answer with the new version. */
  readonly failures: number
  /** Of Slipway's own process, MB, its highest since it was started. */
  readonly residentMb: number
}

/** What Slipway gives a build, as options of `docker build`. */
const buildLimits = [
  ...['--memory', '2g', '--memory-swap', '2g', '--shm-size', '64m'],
  ...['--cpu-period', '100000', '--cpu-quota', '150000'],
]

/** A build with half a second of work for one core, which is little: a package manager takes ten times that. */
function app(text: string): Record<string, string> {
  return {
    Dockerfile:
      'FROM slipway-test/busybox:1\nCOPY www /www\nRUN head -c 80000000 /dev/zero | sha256sum > /www/sum\nCMD ["/bin/sh", "-c", "exec httpd -f -p $PORT -h /www"]\n',
    'www/index.html': `${text}\n`,
  }
}

/**
 * Twenty apps pushed at the same moment, with two slots for builds; in turn with a script that builds the same twenty, two at
 * a time, starts each as soon as it is built, and ends the one that it replaces as soon as it answers. The script has no
 * pushes, no Git and no proxy.
 */
export async function measureConcurrency(
  server: BenchServer,
  { apps, rounds }: { apps: number; rounds: number },
): Promise<ConcurrencyRounds> {
  const names = Array.from({ length: apps }, (_, i) => `many${i}`)
  const pushers: Pusher[] = []
  const script = await makeScript(names)
  const result = { slipway: [] as number[], byHand: [] as number[] }
  let failures = 0
  try {
    for (const name of names) pushers.push(await makePusher(`${server.controlUrl}/${name}.git`, server.token))
    // The first of each makes what later ones find: it is not counted.
    for (let round = 0; round <= rounds; round += 1) {
      const byHand = await script.run(round)
      for (const [i, pusher] of pushers.entries()) await pusher.commit(app(`${names[i]} ${round}`))
      const begun = performance.now()
      const pushed = await Promise.allSettled(pushers.map((pusher) => pusher.push('main')))
      const seconds = (performance.now() - begun) / 1000
      failures += await countFailures(server, { names, round, pushed })
      process.stdout.write(`  round ${round}: by hand ${byHand.toFixed(1)} s, Slipway ${seconds.toFixed(1)} s\n`)
      if (round > 0) {
        result.byHand.push(byHand)
        result.slipway.push(seconds)
      }
      if (round < rounds) await untilRetired(server)
    }
    return { apps, ...result, failures, residentMb: residentMb(server.pid)?.highest ?? Number.NaN }
  } finally {
    await script.remove()
    for (const pusher of pushers) await pusher.remove()
  }
}

async function countFailures(
  server: BenchServer,
  { names, round, pushed }: { names: string[]; round: number; pushed: PromiseSettledResult<string>[] },
): Promise<number> {
  let failures = 0
  for (const [i, name] of names.entries()) {
    const push = pushed[i]
    if (push?.status === 'rejected') process.stdout.write(`  ${String(push.reason)}\n`)
    const answer = await getOnce(server.port, `test--${name}.localhost`)
    if (push?.status !== 'fulfilled' || answer?.body.trim() !== `${name} ${round}`) failures += 1
  }
  return failures
}

async function makeScript(names: readonly string[]): Promise<{
  /** Seconds from the first build until the last container answers. Nobody waits for the end of those that they replace. */
  run(round: number): Promise<number>
  remove(): Promise<void>
}> {
  const name = `by-hand-${randomBytes(3).toString('hex')}`
  const dir = await mkdtemp(join(tmpdir(), 'slipway-bench-script-'))
  const network = await makeNetwork(name)
  const pushers: Pusher[] = []
  for (let i = 0; i < names.length; i += 1) pushers.push(await makePusher(dir, null))
  let running: string[] = []

  const build = async (at: number, tag: string): Promise<void> => {
    const context = join(dir, String(at))
    await rm(context, { recursive: true, force: true })
    await cp(pushers[at]?.dir as string, context, { recursive: true, filter: (path) => !path.endsWith('/.git') })
    await docker('build', '-q', '--no-cache', ...buildLimits, '-t', tag, context)
  }
  const start = async (at: number, round: number, tag: string): Promise<string> => {
    const container = `${name}-${at}-${round}`
    const address = `${network.prefix}.${10 + (round % 2) * 100 + at}`
    const how = ['--name', container, '--network', name, '--ip', address, '-e', 'PORT=8080', ...limits]
    await docker('run', '-d', ...how, tag)
    await waitFor(`the container ${container}`, 60_000, async () => await answers(address), 10)
    return container
  }

  return {
    async run(round) {
      for (const [i, pusher] of pushers.entries()) await pusher.commit(app(`${names[i]} ${round}`))
      const before = running
      const begun = performance.now()
      const waiting = names.map((_, at) => at)
      const started: Promise<string>[] = []
      const replaced: Promise<void>[] = []
      const replace = async (at: number, container: Promise<string>): Promise<void> => {
        const old = before[at]
        const isThere = await container.then(
          () => true,
          () => false,
        )
        if (isThere && old !== undefined) await docker('rm', '-f', old)
      }
      const slot = async (): Promise<void> => {
        for (let at = waiting.shift(); at !== undefined; at = waiting.shift()) {
          const tag = `${name}:${at}-${round}`
          await build(at, tag)
          // A slot is for builds: the next one begins while this container starts.
          const container = start(at, round, tag)
          started[at] = container
          replaced.push(replace(at, container))
        }
      }
      await Promise.all(Array.from({ length: slots }, slot))
      running = await Promise.all(started)
      const seconds = (performance.now() - begun) / 1000
      await Promise.all(replaced)
      return seconds
    },
    async remove() {
      const { stdout: left } = await docker('ps', '-aq', '--filter', `name=^/${name}-`)
      const containers = left.split('\n').filter((id) => id !== '')
      if (containers.length > 0) await docker('rm', '-f', ...containers)
      await docker('network', 'rm', name)
      const { stdout } = await docker('images', '-q', name)
      const images = stdout.split('\n').filter((id) => id !== '')
      if (images.length > 0) await docker('rmi', '-f', ...images)
      for (const pusher of pushers) await pusher.remove()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
