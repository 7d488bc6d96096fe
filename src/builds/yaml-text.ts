import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  parseDocument,
} from 'yaml'

/*
 * Reads YAML that anybody may have pushed. The parser is quadratic or worse for some inputs (60,000 keys stopped the event
 * loop for 92 s), so the text's tokens are counted first, which is linear, and only a text of human size is parsed.
 */

/** A mistake and the line (from 1) where it stands; null: it concerns the whole file. */
export interface Mistake {
  readonly line: number | null
  readonly text: string
}

export interface YamlText {
  readonly value: unknown
  readonly mistakes: readonly Mistake[]
  /** The line of a value; with `key`, the line of that key in the mapping at `path`. The nearest known one when there is none. */
  lineOf(path: readonly PropertyKey[], key?: string): number | null
}

const limits = { bytes: 64 * 1024, keys: 1000, depth: 20, tokens: 8000, scalar: 4096, backslashes: 500 }

export function readYaml(text: string): YamlText {
  const tooMuch = findExcess(text)
  if (tooMuch !== null) return { value: null, mistakes: [tooMuch], lineOf: () => null }

  const lines = new LineCounter()
  // uniqueKeys compares each key with every other; findRepeatedKeys does it in one pass.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false, stringKeys: true })
  const at = (offset: number): number => lines.linePos(offset).line
  const mistakes: Mistake[] = [...document.errors, ...document.warnings]
    .slice(0, 20)
    .map((error) => ({ line: at(error.pos[0]), text: firstLine(error.message) }))
  if (mistakes.length === 0) mistakes.push(...findShapeMistakes(document.contents, at))
  if (mistakes.length > 0) return { value: null, mistakes, lineOf: () => null }
  return { ...toValue(document), lineOf: (path, key) => lineOf(document, path, key, at) }
}

function toValue(document: Document): { value: unknown; mistakes: Mistake[] } {
  try {
    // Counts what aliases would unfold to, and throws above it.
    return { value: document.toJS({ maxAliasCount: 100 }), mistakes: [] }
  } catch {
    return { value: null, mistakes: [{ line: null, text: 'aliases (*name) that unfold to too much, or to nothing' }] }
  }
}

/** Counts tokens and stops at the first limit. */
function findExcess(text: string): Mistake | null {
  if (Buffer.byteLength(text) > limits.bytes) return { line: null, text: `longer than ${limits.bytes / 1024} KiB` }
  // Each wrong escape in a quoted text becomes an error object of its own.
  if (text.split('\\').length > limits.backslashes) return { line: null, text: 'too many backslashes' }
  let [line, tokens, keys, depth, items] = [1, 0, 0, 0, 0]
  for (const token of new Lexer().lex(text)) {
    tokens += 1
    if (token === ':' || token === '?') keys += 1
    else if (token === '-' || token === ',') items += 1
    else if (token === '[' || token === '{') depth += 1
    else if (token === ']' || token === '}') depth -= 1
    if (token.length > limits.scalar) return { line, text: `a value longer than ${limits.scalar} characters` }
    if (keys > limits.keys || items > limits.keys) return { line, text: `more than ${limits.keys} keys or list items` }
    if (depth > limits.depth) return { line, text: `nested deeper than ${limits.depth} levels` }
    if (tokens > limits.tokens) return { line, text: 'too many words for a configuration' }
    for (let i = token.indexOf('\n'); i !== -1; i = token.indexOf('\n', i + 1)) line += 1
  }
  return null
}

/** Keys given twice and block nesting, in one walk. */
function findShapeMistakes(root: unknown, at: (offset: number) => number): Mistake[] {
  const mistakes: Mistake[] = []
  const walk = (node: unknown, depth: number): void => {
    if (!isMap(node) && !isSeq(node)) return
    if (depth > limits.depth) {
      const line = at(node.range?.[0] ?? 0)
      if (mistakes.length === 0) mistakes.push({ line, text: `nested deeper than ${limits.depth} levels` })
      return
    }
    if (isSeq(node)) return node.items.forEach((item) => walk(item, depth + 1))
    const seen = new Set<string>()
    for (const pair of node.items) {
      const key = isScalar(pair.key) ? String(pair.key.value) : ''
      if (seen.has(key)) mistakes.push({ line: lineOfKey(pair.key, at), text: `"${key}" is given twice` })
      seen.add(key)
      walk(pair.value, depth + 1)
    }
  }
  walk(root, 1)
  return mistakes.slice(0, 20)
}

function lineOf(
  document: Document,
  path: readonly PropertyKey[],
  key: string | undefined,
  at: (offset: number) => number,
): number | null {
  let node: unknown = document.contents
  let line: number | null = null
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(document)
    const child = childOf(node, part)
    if (child === null) break
    line = child.line(at)
    node = child.node
  }
  if (key === undefined) return line
  return childOf(node, key)?.line(at) ?? line
}

function childOf(
  node: unknown,
  part: PropertyKey,
): { node: unknown; line: (at: (offset: number) => number) => number } | null {
  if (isMap(node)) {
    const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part))
    return pair === undefined ? null : { node: pair.value, line: (at) => lineOfKey(pair.key, at) }
  }
  if (isSeq(node) && typeof part === 'number') {
    const item = node.items[part]
    return isNode(item) ? { node: item, line: (at) => lineOfKey(item, at) } : null
  }
  return null
}

function lineOfKey(key: unknown, at: (offset: number) => number): number {
  return at((isNode(key) ? (key as Node).range?.[0] : undefined) ?? 0)
}

function firstLine(message: string): string {
  return message.split('\n')[0] ?? message
}
