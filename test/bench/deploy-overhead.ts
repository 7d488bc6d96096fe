import { setTimeout as delay } from 'node:timers/promises'
import { ensureBaseImage } from '../support/base-image.ts'
import { type Floor, type FloorTimes, makeFloor } from './floor.ts'
import { watchFor } from './http-probe.ts'
import { makePusher, type Pusher } from './pusher.ts'
import type { BenchServer } from './server.ts'
import { waitFor } from './wait.ts'

/** The same container on both sides: Slipway's limits and flags as options of `docker run`. */
export const limits = [
  ...['--memory', '512m', '--memory-swap', '512m', '--cpus', '1', '--pids-limit', '256', '--init'],
  ...[
    '--security-opt',
    'no-new-privileges',
    '--cap-drop',
    'ALL',
    '--log-opt',
    'max-size=10m',
    '--log-opt',
    'max-file=3',
  ],
]

export interface DeployRounds {
  /** ms from the beginning of the push until the new version answers. */
  readonly slipway: readonly number[]
  /** ms until `git push` returns. */
  readonly returned: readonly number[]
  readonly floor: readonly number[]
  readonly floorParts: readonly FloorTimes[]
  readonly steps: readonly Readonly<Record<string, number>>[]
  /** Answers that were neither the old version nor the new one. */
  readonly failures: number
}

export async function measureDeploys(server: BenchServer, rounds: number): Promise<DeployRounds> {
  await ensureBaseImage()
  const floor = await makeFloor(limits)
  const pusher = await makePusher(`${server.controlUrl}/trivial.git`, server.token)
  const result = { slipway: [], returned: [], floor: [], floorParts: [], steps: [] } as unknown as Mutable
  let failures = 0
  try {
    // The first of each makes what later ones find: it is not counted.
    for (let round = 0; round <= rounds; round += 1) {
      const byHand = await roundOfFloor(floor, round)
      const bySlipway = await roundOfSlipway(server, pusher, round)
      process.stdout.write(
        `  round ${round}: floor ${byHand.ms.toFixed(0)} ms, Slipway ${bySlipway.ms.toFixed(0)} ms\n`,
      )
      if (round === 0) continue
      result.floor.push(byHand.ms)
      result.floorParts.push(byHand.parts)
      result.slipway.push(bySlipway.ms)
      result.returned.push(bySlipway.returned)
      result.steps.push(bySlipway.steps)
      failures += bySlipway.failures
    }
  } finally {
    await floor.remove()
    await pusher.remove()
  }
  return { ...result, failures }
}

type Mutable = { [K in keyof Omit<DeployRounds, 'failures'>]: DeployRounds[K][number][] }

function trivialApp(text: string): Record<string, string> {
  return {
    Dockerfile: 'FROM slipway-test/busybox:1\nCOPY www /www\nCMD ["/bin/sh", "-c", "exec httpd -f -p $PORT -h /www"]\n',
    'www/index.html': `${text}\n`,
  }
}

async function roundOfFloor(floor: Floor, round: number): Promise<{ ms: number; parts: FloorTimes }> {
  const body = `floor ${round}`
  await floor.pusher.commit(trivialApp(body))
  const watch = watchFor(floor.port, floor.host, body)
  const begun = performance.now()
  try {
    const parts = await floor.deploy()
    return { ms: (await watch.seen) - begun, parts }
  } finally {
    watch.stop()
    await floor.retire()
    await delay(300)
  }
}

async function roundOfSlipway(
  server: BenchServer,
  pusher: Pusher,
  round: number,
): Promise<{ ms: number; returned: number; steps: Record<string, number>; failures: number }> {
  const body = `slipway ${round}`
  await pusher.commit(trivialApp(body))
  const watch = watchFor(server.port, 'test--trivial.localhost', body)
  const begun = performance.now()
  try {
    const output = await pusher.push('main')
    const returned = performance.now() - begun
    const ms = (await watch.seen) - begun
    const steps = await readSteps(server, Number(/deploy=(\d+)/.exec(output)?.[1]))
    const failures = watch.stop()
    await untilRetired(server)
    // Before the first push there is nothing that could answer.
    return { ms, returned, steps, failures: round === 0 ? 0 : failures }
  } finally {
    watch.stop()
  }
}

/** How long each step took, and from when the deploy was queued to its claim. */
async function readSteps(server: BenchServer, deployId: number): Promise<Record<string, number>> {
  const rows = await server.sql<{ step: string; ms: number }>(
    `select step, (extract(epoch from finished_at - started_at) * 1000)::float8 as ms from deploy_steps where deploy_id = $1
     union all
     select 'queue', (extract(epoch from started_at - created_at) * 1000)::float8 from deploys where id = $1
     union all
     select 'deploy', (extract(epoch from finished_at - created_at) * 1000)::float8 from deploys where id = $1`,
    [deployId],
  )
  return Object.fromEntries(rows.map(({ step, ms }) => [step, ms]))
}

/** The old version's end is background work: it must not run into the floor's round. */
export async function untilRetired(server: BenchServer): Promise<void> {
  await waitFor(
    'the old version to be retired',
    60_000,
    async () => {
      const rows = await server.sql(`select 1 from instances where state in ('draining', 'starting')`)
      return rows.length === 0
    },
    100,
  )
  await delay(300)
}
