/*
 * A release's configuration in the words of slipway.yml: a build keeps it with its defaults filled in, in milliseconds and
 * bytes. Builds of earlier versions may hold less, so it is read without a type.
 */

export type Configuration = Readonly<Record<string, unknown>>

const words: Readonly<Record<string, string>> = {
  releaseCommands: 'release',
  selfTests: 'self_tests',
  keepWarm: 'keep_warm',
}
const units = [
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const
const sizes = [
  ['g', 1024 ** 3],
  ['m', 1024 ** 2],
  ['k', 1024],
] as const

/** As somebody could have written it; jobs, processes and release commands by their names. */
export function configurationAsWritten(config: unknown): Configuration {
  return isRecord(config) ? writeRecord(config) : {}
}

function writeRecord(record: Configuration): Configuration {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => writeEntry(key, value)))
}

function writeEntry(key: string, value: unknown): readonly [string, unknown] {
  if (key.endsWith('Ms') && typeof value === 'number') {
    const unitless = key.slice(0, -2)
    return [words[unitless] ?? unitless, writeTime(value)]
  }
  if (key.endsWith('Bytes') && typeof value === 'number') return [key.slice(0, -5), writeUnit(value, sizes) ?? value]
  const name = words[key] ?? key
  if (key === 'status' && isRange(value)) {
    return [name, value.from === value.to ? String(value.from) : `${value.from}-${value.to}`]
  }
  if (key === 'watch' && isWatch(value))
    return [name, { for: writeTime(value.ms), errors: `${Math.round(value.errors * 100)}%` }]
  // What is written there by people is not touched: an argument may be called as it likes.
  if (key === 'args') return [name, value]
  if (Array.isArray(value)) return [name, writeList(value)]
  return [name, isRecord(value) ? writeRecord(value) : value]
}

/** Things with a name of their own are found by it, wherever they stand in the list. */
function writeList(list: readonly unknown[]): unknown {
  const records = list.filter(isRecord)
  const names = records.map(nameOf).filter((name) => name !== null)
  if (list.length === 0 || names.length < list.length || new Set(names).size < names.length) {
    return list.map((one) => (isRecord(one) ? writeRecord(one) : one))
  }
  return Object.fromEntries(
    records.map((record, i) => {
      const rest = Object.entries(record).filter(([key]) => key !== 'name' && key !== 'label')
      return [names[i] as string, writeRecord(Object.fromEntries(rest))]
    }),
  )
}

function nameOf(record: Configuration): string | null {
  const name = record['name'] ?? record['label']
  return typeof name === 'string' ? name : null
}

const writeTime = (ms: number): string => writeUnit(ms, units) ?? `${ms}ms`

function writeUnit(value: number, all: readonly (readonly [string, number])[]): string | null {
  const fit = value === 0 ? undefined : all.find(([, size]) => value % size === 0)
  return fit === undefined ? null : `${value / fit[1]}${fit[0]}`
}

const isRange = (value: unknown): value is { from: number; to: number } =>
  isRecord(value) && typeof value['from'] === 'number' && typeof value['to'] === 'number'

const isWatch = (value: unknown): value is { ms: number; errors: number } =>
  isRecord(value) && typeof value['ms'] === 'number' && typeof value['errors'] === 'number'

export const isRecord = (value: unknown): value is Configuration =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
