import { describe, expect, it } from '@jest/globals'
import { assertRoomForRun } from '../../../src/runs/room.ts'

const test = { id: 1, name: 'test' }
const limits = { perEnvironment: 2, overall: 3 }

describe('room for one more run', () => {
  it('is there until the environment or the server has as many as it may', () => {
    expect(() => assertRoomForRun([1, 2], test, limits)).not.toThrow()
    expect(() => assertRoomForRun([1, 1], test, limits)).toThrow('2 commands run in test already')
    expect(() => assertRoomForRun([2, 2, 1], test, limits)).toThrow('3 commands run on this server already')
    expect(() => assertRoomForRun([1], test, { perEnvironment: 1, overall: 3 })).toThrow('One command runs in test')
  })
})
