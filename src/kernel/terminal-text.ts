/*
 * Text from builds, apps and clients on its way to a terminal or a page. Colour (SGR) passes; every other control byte is
 * shown in caret form, so that foreign text can neither move the cursor, set a title, nor imitate Slipway's own lines.
 */

/** 8 KiB: design.md, and longer than any line that a person reads. */
const longestLineBytes = 8 * 1024

// SGR only: ESC [ digits and semicolons m. Bidirectional controls, line separators and what has no width are hidden text in a
// terminal. Joiners stay: Persian and emoji are written with them.
const unsafe =
  /\u001b\[[0-9;]{0,32}m|[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g

/** One line (no line ends inside) made safe to print; cut at 8 KiB, the cut is told. A colour left open is closed. */
export function sanitizeLine(text: string): string {
  const cut = cutToBytes(text, longestLineBytes)
  let coloured = false
  const safe = cut.replace(unsafe, (match) => {
    if (match.length > 1) {
      coloured = !/^\u001b\[0*m$/.test(match)
      return match
    }
    return caret(match)
  })
  return coloured ? `${safe}\u001b[0m` : safe
}

/** The same without colour: for pages, JSON and error messages. */
export function plainLine(text: string): string {
  return sanitizeLine(text).replace(/\u001b\[[0-9;]*m/g, '')
}

function cutToBytes(text: string, limit: number): string {
  if (text.length * 3 <= limit || Buffer.byteLength(text) <= limit) return text
  const kept = Buffer.from(text)
    .subarray(0, limit)
    .toString('utf8')
    .replace(/\ufffd+$/u, '')
  return `${kept} … (line cut at ${limit} bytes)`
}

function caret(char: string): string {
  const code = char.charCodeAt(0)
  if (code < 0x20) return `^${String.fromCharCode(code + 0x40)}`
  if (code === 0x7f) return '^?'
  return `<U+${code.toString(16).toUpperCase().padStart(4, '0')}>`
}

/**
 * Cuts a stream of bytes into lines for people: `\n` ends a line, and of a line that redraws itself with `\r` (progress
 * bars) only the last state is kept. A line that never ends is given out at 8 KiB.
 */
export class LineSplitter {
  readonly #decoder = new TextDecoder('utf-8')
  readonly #onLine: (line: string) => void
  #rest = ''

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine
  }

  write(chunk: Uint8Array | string): void {
    this.#rest += typeof chunk === 'string' ? chunk : this.#decoder.decode(chunk, { stream: true })
    const lines = this.#rest.split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#emit(line)
    while (this.#rest.length > longestLineBytes) {
      this.#emit(this.#rest.slice(0, longestLineBytes))
      this.#rest = this.#rest.slice(longestLineBytes)
    }
  }

  end(): void {
    if (this.#rest !== '') this.#emit(this.#rest)
    this.#rest = ''
  }

  #emit(line: string): void {
    const withoutEnd = line.endsWith('\r') ? line.slice(0, -1) : line
    const redrawn = withoutEnd.lastIndexOf('\r')
    this.#onLine(redrawn === -1 ? withoutEnd : withoutEnd.slice(redrawn + 1))
  }
}
