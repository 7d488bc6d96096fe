/*
 * What follows of the secrets whose head was found: sorted, so that those that a text is still like stand together. It costs little more
 * when very many secrets begin alike.
 */

/** Those from `first` to `last`, which are alike, and behind their first `at` signs. */
export interface Rests {
  readonly sorted: readonly string[]
  readonly first: number
  readonly last: number
  readonly at: number
}

/** How far the text goes on like one of these, and those that it ends in the middle of, if any. */
export function follow(text: string, from: number, rests: Rests): { end: number; left: Rests | null } {
  const { sorted, at } = rests
  let { first, last } = rests
  let length = 0
  for (; from + length < text.length; length += 1) {
    const code = text.charCodeAt(from + length)
    const next = findCode(code, { sorted, first, last, at: at + length })
    if (next === last || codeAt(sorted, next, at + length) !== code) return { end: from + length, left: null }
    last = findCode(code + 1, { sorted, first: next, last, at: at + length })
    first = next
  }
  return { end: from + length, left: { sorted, first, last, at: at + length } }
}

/** The first of these that goes on with this sign or a higher one. */
function findCode(code: number, { sorted, first, last, at }: Rests): number {
  let low = first
  let high = last
  while (low < high) {
    const middle = (low + high) >> 1
    if (codeAt(sorted, middle, at) < code) low = middle + 1
    else high = middle
  }
  return low
}

/** Below all signs where it has ended. */
function codeAt(sorted: readonly string[], index: number, at: number): number {
  const rest = sorted[index] as string
  return at < rest.length ? rest.charCodeAt(at) : -1
}
