import type { z } from 'zod'
import { SlipwayError } from '../kernel/errors.ts'
import { plainLine } from '../kernel/terminal-text.ts'
import type { Mistake, YamlText } from './yaml-text.ts'

/** The keys that each section of a file may have; those of the file itself under the empty name. */
export type KnownKeys = Readonly<Record<string, readonly string[]>>

/** What zod found, in this product's words, each with its line. */
export function mistakesOf(issue: z.core.$ZodIssue, yaml: YamlText, known: KnownKeys): Mistake[] {
  const where = issue.path.map((part) => (typeof part === 'number' ? `${part + 1}` : String(part))).join('.')
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      line: yaml.lineOf(issue.path, key),
      text: `unknown key "${where === '' ? key : `${where}.${key}`}"${didYouMean(key, known[String(issue.path[0] ?? '')] ?? [])}`,
    }))
  }
  if (issue.code === 'invalid_key') {
    const reasons = issue.issues.map((one) => one.message).join(', ')
    return [{ line: yaml.lineOf(issue.path), text: `${where} ${reasons}` }]
  }
  const line = yaml.lineOf(issue.path)
  return [{ line, text: where === '' ? 'slipway.yml must be a mapping (key: value)' : `${where} ${wordsOf(issue)}` }]
}

/** zod's own sentences for the rest, in this product's words. */
function wordsOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_value') return `must be one of ${issue.values.map(String).join(', ')}`
  if (issue.code === 'invalid_type' && issue.expected === 'object') return 'must be a mapping (key: value)'
  if (issue.code === 'invalid_type' && issue.input === undefined) return 'is missing'
  if (issue.code === 'too_small') return `must be at least ${String(issue.minimum)}`
  if (issue.code === 'too_big') return `must be at most ${String(issue.maximum)}`
  return issue.message
}

function didYouMean(key: string, candidates: readonly string[]): string {
  const plain = (word: string): string => word.toLowerCase().replace(/[^a-z]/g, '')
  const near = candidates.find((word) => isOneEditApart(plain(word), plain(key)))
  return near === undefined ? `; known are ${candidates.join(', ')}` : ` (did you mean "${near}"?)`
}

/** Equal, or one letter added, left out, changed or swapped with its neighbour. */
function isOneEditApart(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1) return false
  let start = 0
  while (start < a.length && a[start] === b[start]) start += 1
  const [restA, restB] = [a.slice(start), b.slice(start)]
  return (
    restA.slice(1) === restB.slice(1) ||
    restA.slice(1) === restB ||
    restA === restB.slice(1) ||
    (restA.slice(2) === restB.slice(2) && restA[0] === restB[1] && restA[1] === restB[0])
  )
}

/** All mistakes of a file as one error. */
export function invalid(file: string, mistakes: readonly Mistake[]): SlipwayError {
  const sorted = [...mistakes].sort((a, b) => (a.line ?? 0) - (b.line ?? 0)).slice(0, 20)
  const lines = sorted.map(({ line, text }) => plainLine(line === null ? text : `line ${line}: ${text}`))
  const [first = ''] = lines
  const message =
    lines.length === 1
      ? `${file} cannot be used: ${first}.`
      : `${file} has ${mistakes.length} mistakes; the first: ${first}.`
  return new SlipwayError('config_invalid', message, {
    hint: `Correct ${file === 'slipway.yml' ? file : 'it'} and push again. Nothing was built.`,
    ...(lines.length > 1 ? { evidence: lines } : {}),
  })
}
