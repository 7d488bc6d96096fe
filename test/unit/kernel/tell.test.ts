import { afterEach, describe, expect, it, jest } from '@jest/globals'
import { tellError } from '../../../src/kernel/tell.ts'

describe('telling what went wrong', () => {
  const written = jest.spyOn(process.stderr, 'write').mockReturnValue(true)
  afterEach(() => void written.mockClear())
  const told = (error: unknown): string => {
    tellError(error)
    return written.mock.calls.map(([text]) => String(text)).join('')
  }

  it('says in one sentence that the disk is full, without a stack', () => {
    const text = told(Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' }))
    expect(text).toMatch(/^ ! {5}The disk is full: .*\n {7}Make room on it/)
    expect(text).not.toContain('Error')
  })

  it('shows the stack of what nobody expected', () => {
    expect(told(new TypeError('x is not a function'))).toMatch(
      /inside Slipway\.\nTypeError: x is not a function\n +at /,
    )
  })
})
