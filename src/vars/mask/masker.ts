import { shortestMasked } from '../../kernel/variables.ts'
import { type Automaton, makeAutomaton } from './automaton.ts'
import { formsOf } from './forms.ts'
import { follow, type Rests } from './rests.ts'
import { atOnce, type Sliced, sliceSize } from './slices.ts'

export interface Masker {
  /** A text of its own, with all secrets in it replaced. */
  readonly mask: (text: string) => string
  /** The same for one that was cut at its end: also where a secret begins there. */
  readonly maskCut: (text: string) => string
  /** For the lines of one output, in their order: a secret that was cut by the longest line is masked on both sides of the cut. */
  lines(): (line: string) => string
}

/** A masker that can be replaced between two lines. */
export interface BuiltMasker extends Masker {
  /** The same as `lines`; `isOpen`: the last line may have been cut in the middle of a secret. */
  openLines(): { readonly mask: (line: string) => string; readonly isOpen: () => boolean }
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
  /** Of the secrets whose head was found. */
  readonly rests: Rests | null
}

const nothing: Carry = { state: 0, rests: null }

export function makeMasker(secrets: Iterable<string>): BuiltMasker {
  return atOnce(buildMasker(secrets))
}

/** Takes some 5 ms for a thousand lines of secrets. */
export function* buildMasker(secrets: Iterable<string>): Sliced<BuiltMasker> {
  const all = new Set<string>()
  for (const secret of secrets) {
    for (const form of formsOf(secret)) all.add(form)
    yield
  }
  const patterns = [...all]
  if (patterns.length === 0) return asItIs
  const headLength = patterns.length > manyPatterns ? headLengths.many : headLengths.usual
  const automaton = yield* makeAutomaton(patterns.map((pattern) => pattern.slice(0, headLength)))
  /** By the state that the head ends in. */
  const alike = new Map<number, string[]>()
  for (const [n, pattern] of patterns.entries()) {
    if (n % sliceSize === 0) yield
    if (pattern.length <= headLength) continue
    const state = automaton.stateOf(pattern.slice(0, headLength))
    const rest = pattern.slice(headLength)
    const others = alike.get(state)
    if (others === undefined) alike.set(state, [rest])
    else others.push(rest)
  }
  const rests = new Map<number, Rests>()
  for (const [state, these] of alike) {
    if (rests.size % sliceSize === 0) yield
    rests.set(state, { sorted: these.sort(), first: 0, last: these.length, at: 0 })
  }
  return makeScanner(automaton, rests)
}

const asItIs: BuiltMasker = {
  mask: (text) => text,
  maskCut: (text) => text,
  lines: () => (line) => line,
  openLines: () => ({ mask: (line) => line, isOpen: () => false }),
}

function makeScanner(automaton: Automaton, rests: ReadonlyMap<number, Rests>): BuiltMasker {
  const scan = (text: string, carry: Carry, isCut: boolean): { text: string; carry: Carry } => {
    const out = makeCutter(text)
    let { state } = carry
    let { end: at, left } = carry.rests === null ? { end: 0, left: null } : follow(text, 0, carry.rests)
    if (at > 0) {
      out.cut(0, at)
      state = 0
    }
    while (at < text.length) {
      if (state === 0) at = automaton.skip(text, at)
      state = automaton.next(state, text.charCodeAt(at))
      at += 1
      const length = automaton.found[state] as number
      if (length === 0) continue
      const more = rests.get(state)
      if (more === undefined) out.cut(at - length, at)
      else {
        const followed = follow(text, at, more)
        left = followed.left
        out.cut(at - length, followed.end)
        // Of what follows nothing is looked at twice.
        if (followed.end > at) state = 0
        at = followed.end
      }
    }
    const depth = automaton.depth[state] as number
    const open = isCut ? { state, rests: left } : nothing
    if (open.state !== 0 && depth >= shortestMasked) out.cut(text.length - depth, text.length)
    return { text: out.end(), carry: open }
  }
  const openLines = (): ReturnType<BuiltMasker['openLines']> => {
    let carry = nothing
    return {
      mask(line) {
        const scanned = scan(line, carry, line.length >= mayBeCut)
        carry = scanned.carry
        return scanned.text
      },
      isOpen: () => carry.state !== 0 || carry.rests !== null,
    }
  }
  return {
    mask: (text) => scan(text, nothing, text.length >= mayBeCut).text,
    maskCut: (text) => scan(text, nothing, true).text,
    lines: () => openLines().mask,
    openLines,
  }
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
