import { describe, expect, it } from '@jest/globals'
import { openShare, type Share, type Waiter } from '../../../src/builds/share.ts'
import { SlipwayError } from '../../../src/kernel/errors.ts'

function open() {
  let made: Share | null = null
  const { promise, resolve } = Promise.withResolvers<null>()
  const abandoned: number[][] = []
  const share = openShare({
    buildNumber: 3,
    make: (inside) => {
      made = inside
      inside.signal.addEventListener('abort', () => resolve(null))
      return promise
    },
    abandon: (left) => {
      abandoned.push([...left])
      return Promise.resolve(true)
    },
    onSettled: () => undefined,
  })
  return { share, inside: made as unknown as Share, finish: () => resolve(null), abandoned }
}

function waiter(deployId: number, fields: Partial<Waiter> = {}) {
  const lines: string[] = []
  const notes: string[] = []
  const own: Waiter = {
    deployId,
    onLine: (line) => void lines.push(line),
    room: () => Promise.resolve(),
    onNote: (text) => void notes.push(text),
    onPlace: () => undefined,
    signal: new AbortController().signal,
    ...fields,
  }
  return { own, lines, notes }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('a build that deploys wait for', () => {
  it('tells one that comes again, because the database was away, only what it has not read', async () => {
    const { share, inside, finish } = open()
    const other = waiter(8)
    const waited = share.attend(other.own)
    const first = waiter(7, { room: () => Promise.reject(new Error('the database is away')) })
    inside.output.write('one')
    await expect(share.attend(first.own)).rejects.toThrow('away')
    expect(first.lines).toEqual(['one'])
    inside.output.write('two')
    const again = waiter(7)
    const done = share.attend(again.own)
    await turn()
    finish()
    await Promise.all([waited, done])
    expect(again.lines).toEqual(['two'])
    expect(again.notes).toEqual([])
    expect(other.lines).toEqual(['one', 'two'])
  })

  it('goes on until the last one has left, and names the deploys that are to end', async () => {
    const { share, abandoned } = open()
    const [one, other] = [new AbortController(), new AbortController()]
    const waits = [
      share.attend(waiter(7, { signal: one.signal }).own),
      share.attend(waiter(8, { signal: other.signal }).own),
    ]
    for (const wait of waits) wait.catch(() => undefined)
    await turn()
    one.abort(new SlipwayError('cancelled', 'enough'))
    await expect(waits[0]).rejects.toThrow('enough')
    expect(share.ending()).toBeNull()
    expect(abandoned).toEqual([])
    other.abort(new SlipwayError('cancelled', 'enough'))
    await expect(waits[1]).rejects.toThrow('enough')
    expect(abandoned).toEqual([[7, 8]])
  })

  it('is left to whoever goes on with its deploys when the server stops', async () => {
    const { share, inside, abandoned } = open()
    const stop = new AbortController()
    const wait = share.attend(waiter(7, { signal: stop.signal }).own)
    wait.catch(() => undefined)
    await turn()
    stop.abort(new Error('the server stops'))
    await expect(wait).rejects.toThrow('the server stops')
    expect(inside.signal.aborted).toBe(true)
    expect(abandoned).toEqual([])
  })
})
