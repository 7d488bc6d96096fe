import { SlipwayError } from '../kernel/errors.ts'
import { plainLine, sanitizeLine } from '../kernel/terminal-text.ts'

/** A line of progress. */
export function say(line: string): void {
  process.stdout.write(`-----> ${line}\n`)
}

/** What went wrong, what it rests on and what to do; the stack only when nobody expected it. */
export function tellError(error: unknown): void {
  const lines =
    error instanceof SlipwayError
      ? [` !     ${plainLine(error.message)}`, ...error.evidence.map((line) => `       ${sanitizeLine(line)}`)]
      : [' !     Something went wrong inside Slipway.', String(error instanceof Error ? error.stack : error)]
  if (error instanceof SlipwayError && error.hint !== undefined) lines.push(`       ${plainLine(error.hint)}`)
  process.stderr.write(`${lines.join('\n')}\n`)
}

/** Ends the process with 1 after telling why. */
export function fail(error: unknown): never {
  tellError(error)
  process.exit(1)
}
