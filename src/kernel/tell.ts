import { SlipwayError } from './errors.ts'
import { plainLine, sanitizeLine } from './terminal-text.ts'

/** A line of progress. */
export function say(line: string): void {
  process.stdout.write(`-----> ${line}\n`)
}

/** What went wrong, what it rests on and what to do; the stack only when nobody expected it. */
export function tellError(error: unknown): void {
  const lines = linesOf(isDiskFull(error) ? diskFull : error)
  process.stderr.write(`${lines.join('\n')}\n`)
}

function linesOf(error: unknown): string[] {
  const lines =
    error instanceof SlipwayError
      ? [` !     ${plainLine(error.message)}`, ...error.evidence.map((line) => `       ${sanitizeLine(line)}`)]
      : [' !     Something went wrong inside Slipway.', String(error instanceof Error ? error.stack : error)]
  if (error instanceof SlipwayError && error.hint !== undefined) lines.push(`       ${plainLine(error.hint)}`)
  return lines
}

const diskFull = new SlipwayError('unavailable', 'The disk is full: Slipway cannot write into its data folder.', {
  hint: 'Make room on it (df -h shows where), then start Slipway again.',
})

const isDiskFull = (error: unknown): boolean =>
  error instanceof Error && ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')

/** Ends the process with 1 after telling why. */
export function fail(error: unknown): never {
  tellError(error)
  process.exit(1)
}
