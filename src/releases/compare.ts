import type { Cut } from './compare-commits.ts'
import { type Configuration, configurationAsWritten, isRecord } from './configuration.ts'

/*
 * What differs between two releases. Pure: it is told by whoever goes from one to the other, and before they do.
 */

/** By name, sorted. Values are not known here: equal marks are equal values. */
export interface VariablesDifference {
  readonly added: readonly string[]
  readonly removed: readonly string[]
  readonly changed: readonly string[]
}

/** By the path of its key, as in slipway.yml; null on the side that has none. Values are cut. */
export interface ConfigurationDifference {
  readonly path: string
  readonly from: string | null
  readonly to: string | null
}

/** Keyed hashes of values, by name. */
export type Marks = Readonly<Record<string, string>>

const longestValue = 200
const mostDifferences = 100

export function compareVariables(from: Marks, to: Marks): VariablesDifference {
  const [before, after] = [new Map(Object.entries(from)), new Map(Object.entries(to))]
  return {
    added: [...after.keys()].filter((name) => !before.has(name)).sort(),
    removed: [...before.keys()].filter((name) => !after.has(name)).sort(),
    changed: [...after].flatMap(([name, mark]) => (before.has(name) && before.get(name) !== mark ? [name] : [])).sort(),
  }
}

/** All but its processes; both as builds keep them. */
export function compareConfigurations(from: unknown, to: unknown): ConfigurationDifference[] {
  return compareRecords(withoutProcesses(from), withoutProcesses(to))
}

/** Of processes what is run and how many; `worker.run`. */
export function compareProcesses(from: unknown, to: unknown): ConfigurationDifference[] {
  return compareRecords(processesOf(from), processesOf(to))
}

/** For people: of a configuration that is another as a whole nobody reads all. */
export function cutDifferences(all: readonly ConfigurationDifference[]): Cut<ConfigurationDifference> {
  return { total: all.length, first: all.slice(0, mostDifferences) }
}

function withoutProcesses(config: unknown): Configuration {
  // Builds of earlier versions knew neither.
  return { cron: [], keep_warm: '0ms', ...configurationAsWritten(config), processes: null }
}

function processesOf(config: unknown): Configuration {
  const { processes } = configurationAsWritten(config)
  return isRecord(processes) ? processes : { web: { run: null, instances: 1 } }
}

function compareRecords(from: Configuration, to: Configuration): ConfigurationDifference[] {
  const [before, after] = [flatten(from), flatten(to)]
  return [...new Set([...before.keys(), ...after.keys()])]
    .sort()
    .map((path) => ({ path, from: before.get(path) ?? null, to: after.get(path) ?? null }))
    .filter((each) => each.from !== each.to)
    .map(({ path, ...sides }) => ({ path: cut(path), from: cutOrNull(sides.from), to: cutOrNull(sides.to) }))
}

function flatten(record: Configuration): Map<string, string> {
  const flat = new Map<string, string>()
  const walk = (value: unknown, path: string): void => {
    if (isRecord(value))
      for (const [key, inner] of Object.entries(value)) walk(inner, path === '' ? key : `${path}.${key}`)
    // What is null is not set; what is empty is as good as not there.
    else if (value !== null && value !== undefined && !(Array.isArray(value) && value.length === 0))
      flat.set(path, typeof value === 'string' ? value : JSON.stringify(value))
  }
  walk(record, '')
  return flat
}

const cut = (text: string): string => (text.length > longestValue ? `${text.slice(0, longestValue)}…` : text)
const cutOrNull = (text: string | null): string | null => (text === null ? null : cut(text))
