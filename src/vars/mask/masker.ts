import { shortestMasked } from '../../kernel/variables.ts'
import { makeAutomaton } from './automaton.ts'
import { formsOf } from './forms.ts'

export interface Masker {
  /** A text of its own, with all secrets in it replaced. */
  readonly mask: (text: string) => string
  /** For the lines of one output, in their order: a secret that was cut by the longest line is masked on both sides of the cut. */
  lines(): (line: string) => string
}

export const maskText = '[masked]'

/** Whoever prints this much of a secret has told it: more is not looked for, but goes with it. Few when there are very many. */
const headLengths = { usual: 24, many: 8 }
const manyPatterns = 2_000
/** A line that is at least this long may be the first part of one that was cut at 8 KiB. */
const mayBeCut = (8 * 1024) / 3

/** Where a text left off in the middle of a secret. */
interface Carry {
  readonly state: number
  /** What follows of the secrets whose head was found. */
  readonly rests: readonly string[]
}

const nothing: Carry = { state: 0, rests: [] }
const asItIs: Masker = { mask: (text) => text, lines: () => (line) => line }

export function makeMasker(secrets: Iterable<string>): Masker {
  const patterns = [...new Set([...secrets].flatMap(formsOf))]
  if (patterns.length === 0) return asItIs
  const headLength = patterns.length > manyPatterns ? headLengths.many : headLengths.usual
  const automaton = makeAutomaton(patterns.map((pattern) => pattern.slice(0, headLength)))
  /** By the state that the head ends in, sorted. */
  const rests = new Map<number, string[]>()
  for (const pattern of patterns.filter(({ length }) => length > headLength)) {
    const state = automaton.stateOf(pattern.slice(0, headLength))
    const alike = rests.get(state)
    if (alike === undefined) rests.set(state, [pattern.slice(headLength)])
    else alike.push(pattern.slice(headLength))
  }
  for (const alike of rests.values()) alike.sort()

  const scan = (text: string, carry: Carry): { text: string; carry: Carry } => {
    const out = makeCutter(text)
    let state = carry.state
    let left = follow(text, 0, carry.rests)
    let at = left.end
    if (at > 0) out.cut(0, at)
    while (at < text.length) {
      if (state === 0) at = automaton.skip(text, at)
      state = automaton.next(state, text.charCodeAt(at))
      at += 1
      const length = automaton.found[state] as number
      if (length === 0) continue
      const more = rests.get(state)
      if (more === undefined) out.cut(at - length, at)
      else {
        left = follow(text, at, more)
        out.cut(at - length, left.end)
        // Of what follows nothing is looked at twice.
        if (left.end > at) state = 0
        at = left.end
      }
    }
    const depth = automaton.depth[state] as number
    const open = text.length >= mayBeCut ? { state, rests: left.end === text.length ? left.rests : [] } : nothing
    if (open.state !== 0 && depth >= shortestMasked) out.cut(text.length - depth, text.length)
    return { text: out.end(), carry: open }
  }

  return {
    mask: (text) => scan(text, nothing).text,
    lines() {
      let carry = nothing
      return (line) => {
        const scanned = scan(line, carry)
        carry = scanned.carry
        return scanned.text
      }
    },
  }
}

/**
 * How far the text goes on like one of these, which are sorted, and what is left of those that it ends in the middle of. Those that it
 * is still like stand together, so that it costs little more when very many secrets begin alike.
 */
function follow(text: string, from: number, rests: readonly string[]): { end: number; rests: string[] } {
  let first = 0
  let last = rests.length
  let length = 0
  for (; from + length < text.length; length += 1) {
    const code = text.charCodeAt(from + length)
    const next = findCode(rests, code, { first, last, at: length })
    if (next === last || codeAt(rests, next, length) !== code) return { end: from + length, rests: [] }
    last = findCode(rests, code + 1, { first: next, last, at: length })
    first = next
  }
  const left = rests.slice(first, last).filter((rest) => rest.length > length)
  return { end: from + length, rests: left.map((rest) => rest.slice(length)) }
}

/** The first of these, alike up to `at`, that goes on with this sign or a higher one. */
function findCode(
  rests: readonly string[],
  code: number,
  { first, last, at }: { first: number; last: number; at: number },
): number {
  let low = first
  let high = last
  while (low < high) {
    const middle = (low + high) >> 1
    if (codeAt(rests, middle, at) < code) low = middle + 1
    else high = middle
  }
  return low
}

/** Below all signs where it has ended. */
function codeAt(rests: readonly string[], index: number, at: number): number {
  const rest = rests[index] as string
  return at < rest.length ? rest.charCodeAt(at) : -1
}

/** Puts marks where pieces are cut out; pieces that touch or overlap become one mark. They come in the order of their ends. */
function makeCutter(text: string): { cut(from: number, to: number): void; end(): string } {
  let spans: { from: number; to: number }[] = []
  return {
    cut(from, to) {
      let start = Math.max(0, from)
      for (let last = spans.at(-1); last !== undefined && last.to >= start; last = spans.at(-1)) {
        start = Math.min(start, last.from)
        spans.pop()
      }
      spans.push({ from: start, to })
    },
    end() {
      if (spans.length === 0) return text
      let masked = ''
      let at = 0
      for (const { from, to } of spans) {
        masked += text.slice(at, from) + maskText
        at = to
      }
      spans = []
      return masked + text.slice(at)
    },
  }
}
