/** One line of the result. Numbers are medians unless their name says otherwise. */
export interface Figure {
  readonly figure: string
  readonly value: string
  readonly floor?: string
  readonly ratio?: number
  readonly rounds: string
  /** Lowest and highest of the rounds, of the ratio where there is one. */
  readonly spread?: string
  readonly aim: string
  readonly met: boolean | null
}

export function median(values: readonly number[]): number {
  return percentile(values, 50)
}

export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const at = ((sorted.length - 1) * percent) / 100
  const [low = Number.NaN, high = Number.NaN] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]]
  return low + (high - low) * (at - Math.floor(at))
}

/** Of each round's pair, because both of a pair ran under the same load of the machine. */
export function ratios(values: readonly number[], floors: readonly number[]): number[] {
  return values.map((value, i) => value / (floors[i] ?? Number.NaN))
}

export function spreadOf(values: readonly number[], digits: number): string {
  return `${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}`
}

export function renderTable(figures: readonly Figure[]): string {
  const head = ['figure', 'measured', 'floor', 'ratio', 'rounds', 'spread', 'aim', 'met']
  const rows = figures.map(({ figure, value, floor = '', ratio, rounds, spread = '', aim, met }) => [
    figure,
    value,
    floor,
    ratio === undefined ? '' : ratio.toFixed(2),
    rounds,
    spread,
    aim,
    met === null ? '' : met ? 'yes' : 'NO',
  ])
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |\n`
  return line(head) + line(widths.map((width) => '-'.repeat(width))) + rows.map(line).join('')
}
