import { describe, expect, it } from '@jest/globals'
import { HttpProblem, InvalidInput, problemOf } from '../../../src/http/errors.ts'
import { exitOfProblem } from '../../../src/cli/failure.ts'
import { SlipwayError } from '../../../src/kernel/errors.ts'

describe('problems', () => {
  it.each([
    ['bad_request', 400, 2],
    ['not_signed_in', 401, 3],
    ['not_allowed', 403, 3],
    ['not_found', 404, 4],
    ['conflict', 409, 5],
    ['too_large', 413, 2],
    ['unavailable', 503, 1],
    ['timeout', 504, 1],
    ['internal', 500, 1],
  ] as const)('%s is %i for HTTP and %i for the command line', (code, status, exit) => {
    const problem = problemOf(new SlipwayError(code, 'what', { hint: 'do this' }), 'r1')
    expect([problem.code, problem.status]).toEqual([code, status])
    expect(exitOfProblem(problem.code)).toBe(exit)
  })

  it('unknown errors say nothing but their number', () => {
    for (const thrown of [new Error('password=x'), 'password=x', { message: 'password=x' }, null, undefined]) {
      const problem = problemOf(thrown, 'r1')
      expect(problem).toMatchObject({ status: 500, code: 'internal', requestId: 'r1' })
      expect(JSON.stringify(problem)).not.toContain('password')
    }
  })

  it('causes and evidence stay inside', () => {
    const error = new SlipwayError('unavailable', 'The engine is away.', {
      evidence: ['secret'],
      cause: new Error('secret'),
    })
    expect(JSON.stringify(problemOf(error, 'r1'))).not.toContain('secret')
  })

  it('invalid input says where', () => {
    const problem = problemOf(new InvalidInput([{ where: 'body.name', message: 'no' }]), 'r1')
    expect(problem).toMatchObject({
      status: 400,
      detail: 'body.name: no',
      errors: [{ where: 'body.name', message: 'no' }],
    })
    expect(problemOf(new HttpProblem('method_not_allowed', 'x'), 'r1').status).toBe(405)
    expect(problemOf(Object.assign(new Error('x'), { status: 400, type: 'entity.parse.failed' }), 'r1').status).toBe(
      400,
    )
    expect(problemOf(new URIError('x'), 'r1').status).toBe(400)
  })
})
