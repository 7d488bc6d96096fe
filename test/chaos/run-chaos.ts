import { readdir } from 'node:fs/promises'
import { residentMb } from '../support/crashes.ts'
import { describeRound, planRound } from './plan-round.ts'
import { runRound } from './run-round.ts'
import { makeWorld, type World } from './world.ts'

export interface ChaosOptions {
  readonly seed: number
  /** How many rounds; fewer when the time is over before. */
  readonly runs: number
  readonly withinMs?: number
  /** The number of the first round; 1 unless given. */
  readonly from?: number
  readonly say: (line: string) => void
  /** Fires when somebody wants it to end: the round is finished, and all is removed. */
  readonly stopped?: AbortSignal
}

export interface ChaosSummary {
  readonly rounds: number
  /** What did not hold, with the round. */
  readonly broken: readonly string[]
  readonly requests: number
  readonly excused: number
  readonly deploys: Readonly<Record<string, number>>
  readonly faults: number
}

const appCount = 3
/** Measured at rest after some rounds: 110 to 150 MB. */
const mostMb = 220
/** Open files and sockets of the server at rest, beyond those after the first round. */
const mostMoreFiles = 15

/** Rounds of faults on one machine of its own; ends at the first round after which something does not hold. */
export async function runChaos({ seed, runs, from = 1, withinMs, say, stopped }: ChaosOptions): Promise<ChaosSummary> {
  const began = performance.now()
  const world = await makeWorld(appCount)
  const sum = { rounds: 0, requests: 0, excused: 0, faults: 0 }
  const broken: string[] = []
  let files: number | null = null
  let deploys: Record<string, number> = {}
  try {
    while (sum.rounds < runs && broken.length === 0 && stopped?.aborted !== true) {
      if (withinMs !== undefined && performance.now() - began > withinMs) break
      sum.rounds += 1
      const round = planRound(seed, from + sum.rounds - 1, appCount)
      say(`round ${round.number}: ${describeRound(round)}`)
      const result = await runRound(world, round)
      sum.requests += result.requests
      sum.excused += result.excused
      sum.faults += round.faults.length
      broken.push(...result.broken.map((what) => `round ${round.number}: ${what}`))
      if (broken.length > 0) break
      const resources = await measure(world)
      files ??= resources.files
      broken.push(...judge(resources, files).map((what) => `round ${round.number}: ${what}`))
      say(`         ${result.requests} requests, ${Math.round(resources.mb)} MB, ${resources.files} files open`)
    }
    deploys = await countDeploys(world)
    if (broken.length > 0) say(world.slipway.output().split('\n').slice(-40).join('\n'))
  } finally {
    const left = await world.remove().catch((error: unknown) => [`the removal failed: ${String(error)}`])
    broken.push(...left.map((what) => `left over: ${what}`))
  }
  return { ...sum, broken, deploys }
}

interface Resources {
  readonly mb: number
  readonly files: number
}

async function measure({ slipway }: World): Promise<Resources> {
  return { mb: await residentMb(slipway), files: (await readdir(`/proc/${slipway.pid()}/fd`)).length }
}

function judge({ mb, files }: Resources, firstFiles: number): string[] {
  return [
    ...(mb > mostMb ? [`Slipway holds ${Math.round(mb)} MB`] : []),
    ...(files > firstFiles + mostMoreFiles
      ? [`Slipway holds ${files} open files, ${firstFiles} after the first round`]
      : []),
  ]
}

async function countDeploys({ slipway }: World): Promise<Record<string, number>> {
  const rows = await slipway
    .sql<{ state: string; n: number }>('select state, count(*)::int as n from deploys group by state order by state')
    .catch(() => [])
  return Object.fromEntries(rows.map(({ state, n }) => [state, n]))
}

export function formatSummary(
  seed: number,
  { rounds, broken, requests, excused, deploys, faults }: ChaosSummary,
): string[] {
  const ended = Object.entries(deploys).map(([state, n]) => `${n} ${state}`)
  return [
    `seed ${seed}: ${rounds} rounds, ${faults} faults, ${requests} requests (${excused} failed while the proxy was dead or frozen), deploys: ${ended.join(', ')}`,
    ...broken.map((what) => ` !     ${what}`),
    ...(broken.length === 0
      ? ['everything held']
      : [`again: npm run chaos -- --seed ${seed} --runs ${rounds}; a round alone: --from N --runs 1`]),
  ]
}
