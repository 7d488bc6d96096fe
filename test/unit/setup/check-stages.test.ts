import { describe, expect, it } from '@jest/globals'
import { readFileSync } from 'node:fs'
import {
  type Outcome,
  formatTotals,
  readTotals,
  stages,
  sumTotals,
  workersOf,
} from '../../../src/setup/check-stages.ts'

const outcome = (result: Outcome['result'], totals: Outcome['totals'] = null): Outcome => ({
  stage: stages[0] as Outcome['stage'],
  result,
  totals,
})

describe('the closing line of npm test', () => {
  it('sums the tests of all stages', () => {
    const sum = sumTotals([
      outcome('passed'),
      outcome('passed', { passed: 40, failed: 0, skipped: 0 }),
      outcome('failed', { passed: 10, failed: 2, skipped: 1 }),
    ])
    expect(formatTotals(sum)).toBe('50 passed, 2 failed, 1 skipped')
    expect(formatTotals({ passed: 3, failed: 0, skipped: 0 })).toBe('3 passed, 0 failed')
  })

  it('never says that nothing failed of a run that failed', () => {
    expect(sumTotals([outcome('failed'), outcome('passed', { passed: 5, failed: 0, skipped: 0 })]).failed).toBe(1)
    expect(sumTotals([outcome('failed', { passed: 5, failed: 0, skipped: 0 })]).failed).toBe(1)
  })

  it('counts a run without any test as failed', () => {
    expect(sumTotals([outcome('passed'), outcome('passed', { passed: 0, failed: 0, skipped: 9 })]).failed).toBe(1)
    expect(sumTotals([]).failed).toBe(1)
  })

  it('counts a test file that cannot run as a failed test, and does not trust a report that is cut', () => {
    const report = {
      numPassedTests: 3,
      numFailedTests: 1,
      numRuntimeErrorTestSuites: 1,
      numPendingTests: 1,
      numTodoTests: 1,
    }
    expect(readTotals(JSON.stringify(report))).toEqual({ passed: 3, failed: 2, skipped: 2 })
    expect(readTotals(JSON.stringify(report).slice(0, -5))).toBeNull()
    expect(readTotals('{}')).toBeNull()
    expect(readTotals('')).toBeNull()
  })
})

describe('the stages of npm test', () => {
  it('are scripts of package.json without shell syntax', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
    for (const { script } of stages) expect(scripts[script]).toMatch(/^[\w./:-]+(?: [\w./:-]+)*$/)
  })

  it('take their number of workers from the environment', () => {
    expect(workersOf('e2e', {})).toBe(1)
    expect(workersOf('unit', {})).toBe(2)
    expect(workersOf('e2e', { TEST_WORKERS_E2E: '3' })).toBe(3)
    expect(workersOf('e2e', { TEST_WORKERS_E2E: 'many' })).toBe(1)
  })
})
