import { expect, it } from '@jest/globals'
import { seconds } from '../../../src/deploys/seconds.ts'

it.each([
  [0, '0.0 s'],
  [4_120, '4.1 s'],
  [60_000, '1 min'],
  [119_700, '2 min'],
  [125_000, '2 min 5 s'],
])('%d ms are told as %s', (ms, told) => {
  expect(seconds(ms)).toBe(told)
})
