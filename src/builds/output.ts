/** What a build prints, for everyone who waits for it: kept up to a limit for those who come late, and then live. */
export interface Output {
  write(line: string): void
  /** Nothing more comes: readers end when they have read the rest. */
  end(): void
  /** Resolves when more may be written: at once, unless a reader is far behind. */
  room(): Promise<void>
  /** Reads on from after `seen` lines, or from the oldest line that is kept. */
  read(seen: number): OutputReader
}

export interface OutputReader {
  /** How many lines it has read or missed. */
  position(): number
  /** Waits for lines; `cut` were printed before these and are not kept. Null at the end, and after `close`. */
  next(): Promise<{ readonly cut: number; readonly lines: readonly string[] } | null>
  close(): void
}

/** Kept for those who come late: more than most builds print. */
const keptBytes = 1024 * 1024
/** What a line costs beside its text. */
const lineBytes = 64
/** A reader that has more lines than this to read holds up the build. */
const mostUnread = 1_000
/** Lines at a time. */
const batch = 200

export function makeOutput(limit = { keptBytes, mostUnread }): Output {
  let lines: string[] = []
  let bytes = 0
  /** How many lines stood before the first that is kept. */
  let dropped = 0
  let ended = false
  const cursors = new Set<{ at: number }>()
  let sleepers: (() => void)[] = []

  const changed = (): void => {
    const woken = sleepers
    sleepers = []
    for (const wake of woken) wake()
  }
  const change = (): Promise<void> => new Promise((resolve) => void sleepers.push(resolve))
  const head = (): number => dropped + lines.length
  const slowest = (): number => Math.min(head(), ...[...cursors].map(({ at }) => at))

  /** What no reader still needs goes first to last, down to what is kept. Now and then: it moves the whole list. */
  const trim = (): void => {
    if (bytes <= limit.keptBytes * 1.25) return
    const most = slowest() - dropped
    let count = 0
    for (; count < most && bytes > limit.keptBytes; count += 1) bytes -= sizeOf(lines[count] as string)
    if (count > 0) lines = lines.slice(count)
    dropped += count
  }

  return {
    write(line) {
      lines.push(line)
      bytes += sizeOf(line)
      trim()
      changed()
    },
    end() {
      ended = true
      changed()
    },
    async room() {
      while (!ended && head() - slowest() > limit.mostUnread) await change()
    },
    read(seen) {
      const cursor = { at: Math.max(seen, dropped) }
      let cut = cursor.at - seen
      cursors.add(cursor)
      return {
        position: () => cursor.at,
        async next() {
          while (cursors.has(cursor) && cursor.at === head() && !ended) await change()
          if (!cursors.has(cursor) || cursor.at === head()) return null
          const given = { cut, lines: lines.slice(cursor.at - dropped, cursor.at - dropped + batch) }
          cut = 0
          cursor.at += given.lines.length
          changed()
          return given
        },
        close() {
          cursors.delete(cursor)
          changed()
        },
      }
    },
  }
}

const sizeOf = (line: string): number => line.length + lineBytes
