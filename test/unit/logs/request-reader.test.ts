import { describe, expect, it } from '@jest/globals'
import { makeReader } from '../../../src/logs/keep-requests.ts'
import type { RequestLine } from '../../../src/logs/requests.ts'

const at = new Date(1_700_000_000_000)
const line = (number: number, serial = number, process = 7): RequestLine => ({
  ...{ process, number, serial, at, durationMs: 1, status: 500, bytes: 0, method: 'GET', path: '/' },
  ...{ isPathCut: false, ending: null, routeKey: 'e7', releaseSet: 'd2', target: null, isOwn: false },
})
const serials = (lines: readonly RequestLine[]): number[] => lines.map(({ serial }) => serial)

describe('the reader of the proxy’s lines', () => {
  it('takes each once, though two threads of the proxy gave the same number to two that are alike', () => {
    const reader = makeReader({ process: 7, number: 10 })
    const lines = [line(11, 31), line(12, 33), line(12, 32), line(13, 34)]
    expect(serials(reader.take(lines).fresh)).toEqual([31, 33, 32, 34])
    expect(reader.take(lines)).toEqual({ fresh: [], lost: 0 })
  })

  it('passes over what an earlier life of Slipway has read, and takes all of another process', () => {
    const reader = makeReader({ process: 7, number: 10 })
    expect(serials(reader.take([line(9), line(10), line(11)]).fresh)).toEqual([11])
    expect(serials(reader.take([line(0, 1, 8), line(1, 2, 8)]).fresh)).toEqual([1, 2])
    expect(reader.position()).toBe('8 1')
  })

  it('counts what is missing, but not what is only out of order', () => {
    const reader = makeReader({ process: 7, number: 0 })
    expect(reader.take([line(3), line(1), line(2)])).toMatchObject({ lost: 0 })
    expect(reader.take([line(1_000)])).toMatchObject({ lost: 996 })
  })
})
