/** One part of `npm test`. */
export interface Stage {
  readonly name: string
  /** The script in package.json; words separated by single spaces, no shell. */
  readonly script: string
  /** Tests: counted, shown while they run, and left out when the types are wrong. */
  readonly tests: boolean
  readonly limitMinutes: number
}

export const stages: readonly Stage[] = [
  { name: 'types', script: 'types', tests: false, limitMinutes: 5 },
  { name: 'lint', script: 'lint', tests: false, limitMinutes: 5 },
  { name: 'format', script: 'format:check', tests: false, limitMinutes: 2 },
  { name: 'dependency directions', script: 'deps', tests: false, limitMinutes: 5 },
  { name: 'dead code', script: 'dead-code', tests: false, limitMinutes: 5 },
  { name: 'schema dump', script: 'schema:check', tests: false, limitMinutes: 5 },
  { name: 'unit', script: 'unit', tests: true, limitMinutes: 10 },
  { name: 'integration', script: 'integration', tests: true, limitMinutes: 20 },
  { name: 'end to end', script: 'e2e', tests: true, limitMinutes: 30 },
]

export interface Totals {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export interface Outcome {
  readonly stage: Stage
  readonly result: 'passed' | 'failed' | 'left out'
  /** Of tests; null when they ended without telling. */
  readonly totals: Totals | null
}

/** The numbers in jest's JSON; a test file that could not run counts as one failed test. */
export function readTotals(json: string): Totals | null {
  try {
    const report = JSON.parse(json) as Record<string, unknown>
    const count = (key: string): number => {
      const value = report[key]
      if (typeof value !== 'number') throw new TypeError(`${key} is missing`)
      return value
    }
    return {
      passed: count('numPassedTests'),
      failed: count('numFailedTests') + count('numRuntimeErrorTestSuites'),
      skipped: count('numPendingTests') + count('numTodoTests'),
    }
  } catch {
    return null
  }
}

/**
 * The sum over all stages. A stage that failed without a failed test (a static check, a crash, its time limit, something
 * left over) counts as one failure, so that the last line never says "0 failed" of a run that failed.
 */
export function sumTotals(outcomes: readonly Outcome[]): Totals {
  const sum = outcomes.reduce(
    (all, { result, totals }) => ({
      passed: all.passed + (totals?.passed ?? 0),
      failed: all.failed + Math.max(totals?.failed ?? 0, result === 'failed' ? 1 : 0),
      skipped: all.skipped + (totals?.skipped ?? 0),
    }),
    { passed: 0, failed: 0, skipped: 0 },
  )
  return sum.passed + sum.failed === 0 ? { ...sum, failed: 1 } : sum
}

/** The last line of the output. */
export function formatTotals({ passed, failed, skipped }: Totals): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}

/** Workers for a stage of tests: TEST_WORKERS_UNIT, …_INTEGRATION, …_E2E, else two, one for end to end. */
export function workersOf(script: string, env: Readonly<Record<string, string | undefined>>): number {
  const given = Number(env[`TEST_WORKERS_${script.toUpperCase()}`])
  if (Number.isInteger(given) && given > 0) return given
  return script === 'e2e' ? 1 : 2
}
