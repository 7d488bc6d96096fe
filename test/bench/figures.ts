import type { ConcurrencyRounds } from './concurrency.ts'
import type { DeployRounds } from './deploy-overhead.ts'
import type { LoadCounts } from './load.ts'
import type { IdleFigures } from './idle.ts'
import type { LogRounds } from './logs.ts'
import type { StatusRounds } from './status.ts'
import type { MemoryFigures } from './memory.ts'
import type { Moved, MoveRounds } from './moves.ts'
import type { LimitsResult } from './limits.ts'
import type { ProxyingRounds } from './proxying.ts'
import type { SwapResult } from './swap.ts'
import type { TakeOverRounds } from './take-over.ts'
import { type Figure, median, percentile, ratios, spreadOf } from './table.ts'

/* What was measured, as lines of the table and as notes below it. Pure. */

const aims = {
  deploy: 1.25,
  move: 2,
  warmMs: 100,
  proxying: 1.3,
  memoryMb: 150,
  requestsPerSecond: 200,
  logPercent: 10,
  concurrency: 1.15,
  idlePercent: 1,
  takeOverMs: 5_000,
  statusMs: 200,
} as const
const ms = (values: readonly number[]): string => `${median(values).toFixed(0)} ms`
const us = (values: readonly number[]): string => `${median(values).toFixed(1)} µs`

export function deployFigures(r: DeployRounds): Figure[] {
  const pairs = ratios(r.slipway, r.floor)
  return [
    {
      figure: 'deploy: push → new version answers',
      value: ms(r.slipway),
      floor: ms(r.floor),
      ratio: median(pairs),
      rounds: String(pairs.length),
      spread: spreadOf(pairs, 2),
      aim: `≤ ${aims.deploy}`,
      met: median(pairs) <= aims.deploy,
    },
    none('deploy: other answers while it runs', r.failures, String(pairs.length)),
  ]
}

export function deployNotes(r: DeployRounds): string[] {
  const part = (name: keyof DeployRounds['floorParts'][number]): number => median(r.floorParts.map((p) => p[name]))
  const step = (name: string): number => median(r.steps.map((s) => s[name] ?? 0))
  const steps = ['queue', 'build', 'release-commands', 'start', 'check', 'swap']
  const inSteps = steps.reduce((sum, name) => sum + step(name), 0)
  const show = (pairs: readonly (readonly [string, number])[]): string =>
    pairs.map(([name, value]) => `${name} ${value.toFixed(0)}`).join(', ')
  return [
    `floor, ms: ${show((['push', 'build', 'run', 'answer', 'swap'] as const).map((name) => [name, part(name)]))}`,
    `Slipway, ms: ${show([
      ['before the queue (git, hook)', median(r.slipway) - step('deploy')],
      ...steps.map((name) => [name, step(name)] as const),
      ['between the steps', step('deploy') - inSteps],
    ])}; git push returns ${(median(r.returned) - median(r.slipway)).toFixed(0)} ms after the first answer`,
  ]
}

/** Without the checks: how long those take is the app's. */
export function moveFigures(r: MoveRounds): Figure[] {
  const figure = (what: string, moved: Moved): Figure => {
    const without = moved.ms.map((value, i) => value - (moved.checks[i] ?? Number.NaN))
    const pairs = ratios(without, r.floor)
    return {
      figure: `${what} → it answers, less its checks`,
      value: ms(without),
      floor: ms(r.floor),
      ratio: median(pairs),
      rounds: String(pairs.length),
      spread: spreadOf(pairs, 2),
      aim: `≤ ${aims.move}`,
      met: median(pairs) <= aims.move,
    }
  }
  return [
    figure('rollback', r.rollback),
    figure('promotion', r.promotion),
    none('rollback, promotion: other answers while they run', r.failures, String(r.floor.length)),
  ]
}

export function warmFigures({ ms: all, checks, failures }: Moved & { readonly failures: number }): Figure[] {
  const without = all.map((value, i) => value - (checks[i] ?? Number.NaN))
  return [
    {
      figure: 'rollback to what is warm → it answers, less its check',
      value: ms(without),
      rounds: String(without.length),
      spread: `with it ${ms(all)}`,
      aim: `≤ ${aims.warmMs} ms`,
      met: median(without) <= aims.warmMs,
    },
    none('rollback to what is warm: other answers while it runs', failures, String(all.length)),
  ]
}

export function moveNotes(r: MoveRounds): string {
  const told = ({ ms: all, checks }: Moved): string => `${ms(all)}, of it checks ${ms(checks)}`
  return `from the call to the first answer: rollback ${told(r.rollback)}; promotion ${told(r.promotion)}`
}

export function swapFigures(
  what: string,
  r: Omit<SwapResult, 'commandMs'> & { commandMs?: readonly number[] },
): Figure[] {
  const rounds = `${r.swaps} swaps`
  const perSecond = (count: number): string => `${Math.round(count / r.seconds)}/s`
  const { own, other } = r
  const kept = own.answered - own.newConnections
  const enough = kept / r.seconds >= aims.requestsPerSecond && own.newConnections / r.seconds >= aims.requestsPerSecond
  return [
    {
      ...none(`${what}: failed requests`, own.failed + own.refused, rounds),
      spread: `${perSecond(kept)} kept alive, ${perSecond(own.newConnections)} new${enough ? '' : ' (too few)'}`,
      met: own.failed + own.refused === 0 && enough,
    },
    { ...none(`${what}: cut websockets`, own.cut, rounds), spread: `of ${own.opened}` },
    none(`${what}: answers of the old version after the swap`, own.stale, rounds),
    none(`${what}: other environment, failed or cut`, other.failed + other.refused + other.cut, rounds),
    ...(r.commandMs === undefined
      ? []
      : [
          {
            figure: `${what}: the command, files on disk and read back`,
            value: `${median(r.commandMs).toFixed(1)} ms`,
            rounds,
            spread: `${spreadOf(r.commandMs, 1)} ms`,
            aim: '',
            met: null,
          },
        ]),
  ]
}

export function swapNotes(what: string, counts: LoadCounts): string {
  const at = (percent: number): string => percentile(counts.latencies, percent).toFixed(1)
  return `${what}: ${counts.answered} answers, p50 ${at(50)} ms, p99 ${at(99)} ms, highest ${at(100)} ms`
}

export function limitFigures(r: LimitsResult): Figure[] {
  const pairs = ratios(r.beside, r.alone)
  return [
    {
      figure: 'limits: p99 of a quiet environment beside a flooded one',
      value: `${median(r.beside).toFixed(1)} ms`,
      floor: `${median(r.alone).toFixed(1)} ms`,
      ratio: median(pairs),
      rounds: String(pairs.length),
      spread: spreadOf(pairs, 2),
      aim: '≤ 1.5',
      met: median(pairs) <= 1.5,
    },
    {
      ...none('limits: failed requests of the quiet one', r.failures, String(pairs.length)),
      spread: `the flooded one: ${r.mostOpen} open at most, ${r.refused} refused`,
    },
  ]
}

export function proxyingFigures(r: ProxyingRounds): Figure[] {
  const pairs = ratios(r.slipway, r.bare)
  return [
    {
      figure: `proxying: CPU for each request, ${r.environments} environments, ${r.asked === r.environments ? 'all' : r.asked} of them asked`,
      value: us(r.slipway),
      floor: us(r.bare),
      ratio: median(pairs),
      rounds: String(pairs.length),
      spread: spreadOf(pairs, 2),
      aim: `≤ ${aims.proxying}`,
      met: median(pairs) <= aims.proxying && r.failures === 0,
    },
  ]
}

export function proxyingNotes(r: ProxyingRounds): string {
  const rate = (values: readonly number[]): string => `${Math.round(median(values) / 1000)},000`
  return `proxying, ${r.asked} asked: ${rate(r.slipwayRate)} requests/s through Slipway’s proxy, ${rate(r.bareRate)} through the bare one, ${r.failures} failed`
}

export function statusFigure({ environments, deploys, slipway, bare }: StatusRounds): Figure {
  const pairs = ratios(slipway, bare)
  return {
    figure: `status: all ${environments} environments of apps with ${deploys} deploys`,
    value: `${median(slipway).toFixed(0)} ms`,
    floor: `${median(bare).toFixed(0)} ms`,
    ratio: median(pairs),
    rounds: String(pairs.length),
    spread: spreadOf(pairs, 1),
    aim: `≤ ${aims.statusMs} ms`,
    met: median(slipway) <= aims.statusMs,
  }
}

export function logFigures(r: LogRounds): Figure[] {
  const pairs = ratios(r.slipway, r.bare)
  const percent = (values: readonly number[]): string => `${median(values).toFixed(1)} % of a core`
  return [
    {
      figure: `logs: ${r.containers} environments print ${r.linesPerSecond} lines/s together`,
      value: percent(r.slipway),
      floor: percent(r.bare),
      ratio: median(pairs),
      rounds: String(pairs.length),
      spread: spreadOf(pairs, 2),
      aim: `≤ ${aims.logPercent} %`,
      met: median(r.slipway) <= aims.logPercent,
    },
    none('logs: lines lost or kept twice, over a kill -9 in each round', r.wrong, String(pairs.length)),
  ]
}

export function memoryFigures(atEnd: { now: number; highest: number }, push: MemoryFigures | null): Figure[] {
  const line = (figure: string, mb: number, aim: number | null): Figure => ({
    figure,
    value: `${mb.toFixed(0)} MB`,
    rounds: '1',
    aim: aim === null ? '' : `≤ ${aim} MB`,
    met: aim === null ? null : mb <= aim,
  })
  return [
    ...(push === null
      ? []
      : [
          line('server memory: highest during a push of 200 MB', push.duringPush, aims.memoryMb),
          line('git’s processes for it, together', push.children, null),
        ]),
    line('server memory: resident after all of this', atEnd.now, aims.memoryMb),
    line('server memory: highest ever', atEnd.highest, null),
  ]
}

export function concurrencyFigures(r: ConcurrencyRounds, slots: number): Figure[] {
  const pairs = ratios(r.slipway, r.byHand)
  return [
    {
      figure: `concurrency: ${r.apps} apps pushed at once, ${slots} build slots → the last push has returned`,
      value: `${median(r.slipway).toFixed(1)} s`,
      floor: `${median(r.byHand).toFixed(1)} s`,
      ratio: median(pairs),
      rounds: String(pairs.length),
      spread: spreadOf(pairs, 2),
      aim: `≤ ${aims.concurrency}`,
      met: median(pairs) <= aims.concurrency,
    },
    none('concurrency: pushes that did not go live', r.failures, String(pairs.length)),
    {
      figure: 'concurrency: highest resident memory of Slipway',
      value: `${r.residentMb.toFixed(0)} MB`,
      rounds: '1',
      aim: `≤ ${aims.memoryMb} MB`,
      met: r.residentMb <= aims.memoryMb,
    },
  ]
}

export function idleFigures(r: IdleFigures): Figure[] {
  const windows = `${r.slipway.length} × ${r.windowSeconds} s`
  const share = (who: string, shares: readonly number[], aim: number | null): Figure => ({
    figure: `idle, ${r.environments} environments: CPU of ${who}`,
    value: `${median(shares).toFixed(2)} % of a core`,
    rounds: windows,
    spread: `${spreadOf(shares, 2)} %`,
    aim: aim === null ? '' : `≤ ${aim} %`,
    met: aim === null ? null : median(shares) <= aim,
  })
  const resident = (when: string, mb: number): Figure => ({
    figure: `idle, ${r.environments} environments: resident ${when}`,
    value: `${mb.toFixed(0)} MB`,
    rounds: '1',
    aim: `≤ ${aims.memoryMb} MB`,
    met: mb <= aims.memoryMb,
  })
  return [
    resident('after their deploys', r.residentMb),
    resident('after a restart', r.residentAfterRestartMb),
    share('Slipway', r.slipway, aims.idlePercent),
    share('its PostgreSQL', r.postgres, null),
    share('its proxy', r.proxy, null),
    {
      figure: `restart with ${r.environments} environments → ready`,
      value: `${(r.restartMs / 1000).toFixed(1)} s`,
      rounds: '1',
      aim: '',
      met: null,
    },
  ]
}

export function takeOverFigures(r: TakeOverRounds): Figure[] {
  const rounds = String(r.owned.length)
  const seconds = (values: readonly number[]): string => `${(median(values) / 1000).toFixed(2)} s`
  const spread = (values: readonly number[]): string =>
    `${spreadOf(
      values.map((value) => value / 1000),
      2,
    )} s`
  return [
    {
      figure: `take-over: kill -9 and start → all of ${r.deploys} running deploys owned again`,
      value: seconds(r.owned),
      rounds,
      spread: spread(r.owned),
      aim: `≤ ${aims.takeOverMs / 1000} s, all`,
      met: Math.max(...r.owned) <= aims.takeOverMs,
    },
    {
      figure: 'take-over: start → ready',
      value: seconds(r.ready),
      rounds,
      spread: spread(r.ready),
      aim: '',
      met: null,
    },
    none('take-over: deploys that did not go live afterwards', r.notLive, rounds),
  ]
}

function none(figure: string, count: number, rounds: string): Figure {
  return { figure, value: String(count), rounds, aim: '0', met: count === 0 }
}
