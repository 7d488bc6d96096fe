import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { encodePkt, flushPkt, PktReader } from '../../../src/git/pkt-line.ts'
import { mostUpdates, type PushRequest, readHookConversation } from '../../../src/git/push-request.ts'
import { SlipwayError } from '../../../src/kernel/errors.ts'

const zero = '0'.repeat(40)
const one = '1'.repeat(40)

function converse(chunks: readonly Buffer[]): { hellos: (readonly string[])[]; requests: PushRequest[] } {
  const heard = { hellos: [] as (readonly string[])[], requests: [] as PushRequest[] }
  const conversation = readHookConversation({
    hello: (abilities) => void heard.hellos.push(abilities),
    request: (request) => void heard.requests.push(request),
  })
  for (const chunk of chunks) conversation.write(chunk)
  return heard
}

const whole = Buffer.concat([
  encodePkt('version=1\0push-options atomic\n'),
  flushPkt,
  encodePkt(`${zero} ${one} refs/heads/main\n`),
  encodePkt(`${one} ${zero} refs/tags/v1\n`),
  flushPkt,
  encodePkt('nowait\n'),
  flushPkt,
])

describe('what git tells its hook', () => {
  it('is understood, however it is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: whole.length })), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), whole.length]
        const chunks = at.slice(1).map((end, i) => whole.subarray(at[i], end))
        expect(converse(chunks)).toEqual({
          hellos: [['push-options', 'atomic']],
          requests: [
            {
              updates: [
                { old: zero, new: one, ref: 'refs/heads/main' },
                { old: one, new: zero, ref: 'refs/tags/v1' },
              ],
              options: ['nowait'],
              atomic: true,
            },
          ],
        })
      }),
      { numRuns: 300 },
    )
  })

  it('has no push options when they were not agreed on', () => {
    const plain = [encodePkt('version=1\n'), flushPkt, encodePkt(`${zero} ${one} refs/heads/a`), flushPkt]
    expect(converse(plain).requests).toMatchObject([{ options: [], atomic: false }])
  })

  it('has no more of the push options than is needed to refuse them', () => {
    const begin = [encodePkt('version=1\0push-options\n'), flushPkt, encodePkt(`${zero} ${one} refs/heads/a`), flushPkt]
    const long = [encodePkt('x'.repeat(60_000)), ...Array.from({ length: 500 }, () => encodePkt('nowait')), flushPkt]
    const [request] = converse([...begin, ...long]).requests
    expect(request?.options.length).toBe(51)
    expect(request?.options[0]?.length).toBe(1_001)
  })

  it.each([
    ['another version', [encodePkt('version=2\n')]],
    ['no greeting', [flushPkt]],
    ['no refs', [encodePkt('version=1\n'), flushPkt, flushPkt]],
    ['a short id', [encodePkt('version=1\n'), flushPkt, encodePkt(`${zero} 123 refs/heads/a`)]],
    ['more after the end', [whole, flushPkt]],
    ['a packet without length', [Buffer.from('zzzz')]],
    ['a long ref', [encodePkt('version=1\n'), flushPkt, encodePkt(`${zero} ${one} refs/heads/${'a'.repeat(2000)}`)]],
    [
      'too many refs',
      [
        encodePkt('version=1\n'),
        flushPkt,
        ...Array.from({ length: mostUpdates + 1 }, (_, i) => encodePkt(`${zero} ${one} refs/heads/${i}`)),
      ],
    ],
  ])('is refused with %s', (_, chunks) => {
    expect(() => converse(chunks)).toThrow(SlipwayError)
  })

  it('mutated 10,000 times, is understood or refused: nothing else is thrown and nothing hangs', () => {
    const mutation = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })
    let refused = 0
    fc.assert(
      fc.property(mutation, fc.nat(whole.length), fc.boolean(), (changes, length, cut) => {
        const bytes = Buffer.from(whole)
        for (const [at, value] of changes) bytes[at] = value
        try {
          const { requests } = converse([cut ? bytes.subarray(0, length) : bytes])
          for (const { updates } of requests) {
            for (const { old, ref } of updates) {
              expect(old).toMatch(/^[0-9a-f]{40}$/)
              expect(ref).not.toMatch(/[\0\n]/)
            }
          }
        } catch (error) {
          expect(error).toBeInstanceOf(SlipwayError)
          refused += 1
        }
      }),
      { numRuns: 10_000 },
    )
    expect(refused).toBeGreaterThan(1000)
  })
})

describe('packets', () => {
  it('arrive as they were sent', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 0, maxLength: 3000 })), (payloads) => {
        const reader = new PktReader()
        const bytes = Buffer.concat([...payloads.map((payload) => encodePkt(Buffer.from(payload))), flushPkt])
        const read = [...reader.read(bytes.subarray(0, 7)), ...reader.read(bytes.subarray(7))]
        expect(read.at(-1)).toEqual({ kind: 'flush' })
        expect(read.slice(0, -1).map((pkt) => (pkt.kind === 'data' ? [...pkt.data] : null))).toEqual(
          payloads.map((payload) => [...payload]),
        )
      }),
      { numRuns: 200 },
    )
  })
})
