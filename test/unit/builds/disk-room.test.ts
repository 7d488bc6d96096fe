import { describe, expect, it } from '@jest/globals'
import { type DiskPlace, makeDiskRoom } from '../../../src/builds/index.ts'
import { findShort } from '../../../src/builds/disk-room.ts'

const gb = 1024 ** 3
const mb = 1024 ** 2
const place = (name: string, freeBytes: number, sizeBytes: number): DiskPlace => ({ name, freeBytes, sizeBytes })
const rule = { setBytes: null, mostBytes: 2 * gb }
const signal = new AbortController().signal

describe('the floor', () => {
  it('is 5 % of a small disk and 2 GB of a large one', () => {
    expect(findShort([place('small', 0.51 * gb, 10 * gb)], rule)).toBeNull()
    expect(findShort([place('small', 0.49 * gb, 10 * gb)], rule)?.floorBytes).toBe(0.5 * gb)
    expect(findShort([place('large', 2.1 * gb, 4000 * gb)], rule)).toBeNull()
    expect(findShort([place('large', 1.9 * gb, 4000 * gb)], rule)?.floorBytes).toBe(2 * gb)
  })

  it('is what was set, on any disk', () => {
    expect(findShort([place('large', 1.9 * gb, 4000 * gb)], { ...rule, setBytes: gb })).toBeNull()
    expect(findShort([place('small', 0.9 * gb, 10 * gb)], { ...rule, setBytes: gb })?.floorBytes).toBe(gb)
  })

  it('is told of the place that lacks most', () => {
    const places = [place('a', 1.9 * gb, 4000 * gb), place('b', 0.1 * gb, 4000 * gb), place('c', 10 * gb, 4000 * gb)]
    expect(findShort(places, rule)?.place.name).toBe('b')
    expect(findShort([], rule)).toBeNull()
  })
})

describe('room for a build', () => {
  const make = (measured: DiskPlace[][]) => {
    const asked: string[] = []
    const room = makeDiskRoom({
      measure: async () => {
        asked.push('measured')
        return measured.shift() ?? []
      },
      measureData: async () => measured.shift()?.[0] ?? null,
      floorBytes: null,
      makeRoom: async () => void asked.push('made room'),
    })
    return { asked, room, note: (text: string) => void asked.push(text) }
  }
  const full = (): DiskPlace[] => [place('the engine’s data folder /d', 100 * mb, 10 * gb)]
  const free = (): DiskPlace[] => [place('the engine’s data folder /d', 5 * gb, 10 * gb)]

  it('that is there costs one look', async () => {
    const { asked, room, note } = make([free()])
    await room.assertForBuild(note, signal)
    expect(asked).toEqual(['measured'])
  })

  it('is made, and looked at again', async () => {
    const { asked, room, note } = make([full(), free()])
    await room.assertForBuild(note, signal)
    expect(asked).toEqual([
      'measured',
      'The disk is nearly full: removing what is not needed any more',
      'made room',
      'measured',
    ])
  })

  it('that cannot be made is refused with figures', async () => {
    const { room, note } = make([full(), full()])
    await expect(room.assertForBuild(note, signal)).rejects.toMatchObject({
      code: 'unavailable',
      message:
        'There is too little room on the server’s disk to build: the engine’s data folder /d has 100 MB of 10.0 GB free, and builds begin with 512 MB or more.',
    })
  })

  it('for a push is refused only at a tenth of that, counting what it brings', async () => {
    const { room } = make([full(), full(), [place('', 40 * mb, 10 * gb)]])
    await room.assertForPush(0)
    await expect(room.assertForPush(60 * mb)).rejects.toMatchObject({ message: expect.stringContaining('for 60 MB') })
    await expect(room.assertForPush(0)).rejects.toMatchObject({
      code: 'unavailable',
      message:
        'There is too little room on the server’s disk: 40 MB are free, and 51 MB are kept for the sites that run.',
    })
    await room.assertForPush(10 * gb)
  })
})
