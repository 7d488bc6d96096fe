import { type Sliced, sliceSize } from './slices.ts'

/*
 * Aho and Corasick's automaton, over UTF-16 units: finds all of many patterns in one pass, in time that grows with the text
 * alone, whatever text and patterns are. Most of a log begins no secret: a table of their first two signs passes over it.
 */

export interface Automaton {
  /** The state after one more sign. 0 is the beginning. */
  next(state: number, code: number): number
  /** How long the longest pattern is that ends in this state; 0: none. */
  readonly found: readonly number[]
  /** How much of a pattern has been seen in this state. */
  readonly depth: readonly number[]
  /** The first place from `from` on where a pattern may begin; the text's last sign is always one. */
  skip(text: string, from: number): number
  stateOf(pattern: string): number
}

const units = 0x10000
const tableBits = 13

/** Patterns have two signs or more. */
export function* makeAutomaton(patterns: readonly string[]): Sliced<Automaton> {
  const edges = new Map<number, number>()
  const depth = [0]
  const found = [0]
  const pairs = new Uint8Array(1 << tableBits)
  /** All edges by how deep they lead. */
  const levels: number[][] = []

  for (const [n, pattern] of patterns.entries()) {
    if (n % sliceSize === 0) yield
    pairs[pairOf(pattern, 0)] = 1
    let state = 0
    for (let i = 0; i < pattern.length; i += 1) {
      const edge = state * units + pattern.charCodeAt(i)
      let to = edges.get(edge)
      if (to === undefined) {
        to = depth.length
        depth.push(i + 1)
        found.push(0)
        edges.set(edge, to)
        ;(levels[i] ??= []).push(edge)
      }
      state = to
    }
    found[state] = pattern.length
  }

  const back = new Array<number>(depth.length).fill(0)
  const next = (from: number, code: number): number => {
    for (let state = from; ; state = back[state] as number) {
      const to = edges.get(state * units + code)
      if (to !== undefined) return to
      if (state === 0) return 0
    }
  }
  // The way back leads to shorter ones, which are done by then.
  for (const level of levels) {
    for (const [n, edge] of level.entries()) {
      if (n % sliceSize === 0) yield
      const to = edges.get(edge) as number
      const from = Math.floor(edge / units)
      if (from !== 0) back[to] = next(back[from] as number, edge % units)
      if (found[to] === 0) found[to] = found[back[to] as number] as number
    }
  }

  return {
    next,
    found,
    depth,
    skip(text, from) {
      let i = from
      while (i < text.length - 1 && pairs[pairOf(text, i)] === 0) i += 1
      return i
    },
    stateOf: (pattern) => {
      let state = 0
      for (let i = 0; i < pattern.length; i += 1) state = edges.get(state * units + pattern.charCodeAt(i)) ?? 0
      return state
    },
  }
}

function pairOf(text: string, at: number): number {
  return (text.charCodeAt(at) * 131 + text.charCodeAt(at + 1)) & ((1 << tableBits) - 1)
}
