import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { readToken } from '../../../../src/adapters/git-http/credentials.ts'
import { parseGitAddress } from '../../../../src/adapters/git-http/git-address.ts'
import { readPushHead } from '../../../../src/adapters/git-http/push-head.ts'
import { AnswerReader, refusal } from '../../../../src/adapters/git-http/sideband.ts'
import { encodePkt, flushPkt } from '../../../../src/git/index.ts'
import { SlipwayError } from '../../../../src/kernel/errors.ts'

const zero = '0'.repeat(40)
const one = '1'.repeat(40)

describe('addresses', () => {
  it.each([
    [
      'GET',
      '/shop.git/info/refs?service=git-upload-pack',
      { kind: 'advertise', app: 'shop', service: 'git-upload-pack' },
    ],
    ['POST', '/shop.git/git-receive-pack', { kind: 'rpc', app: 'shop', service: 'git-receive-pack' }],
    ['POST', '/shop.git/info/refs?service=git-upload-pack', { kind: 'other' }],
    ['GET', '/shop.git/git-receive-pack', { kind: 'other' }],
    ['GET', '/shop.git/../etc.git/HEAD', { kind: 'other' }],
    ['POST', '/shop.git/info/lfs/objects/batch', { kind: 'lfs' }],
    ['GET', '/api/v1/apps', null],
    ['GET', '/', null],
  ])('%s %s', (method, url, expected) => {
    expect(parseGitAddress(method, url)).toEqual(expected)
  })

  it('give a valid app name or none, whatever is asked for', () => {
    const part = fc.constantFrom(
      '/',
      '.git',
      'shop',
      '..',
      '%2e',
      '\0',
      '?service=git-upload-pack',
      'info/refs',
      'git-receive-pack',
      '-',
      'A',
    )
    fc.assert(
      fc.property(
        fc.constantFrom('GET', 'POST', 'PUT'),
        fc.array(fc.oneof(part, fc.string()), { maxLength: 8 }),
        (method, parts) => {
          try {
            const found = parseGitAddress(method, `/${parts.join('')}`)
            if (found !== null && 'app' in found) expect(found.app).toMatch(/^[a-z][a-z0-9-]{0,29}$/)
          } catch (error) {
            expect(error).toBeInstanceOf(SlipwayError)
          }
        },
      ),
      { numRuns: 10_000 },
    )
  })
})

describe('tokens', () => {
  const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`
  it.each([
    [basic('x:secret'), 'secret'],
    [basic('x:a:b'), 'a:b'],
    [basic(':secret'), 'secret'],
    ['Bearer secret', 'secret'],
    ['bearer  secret', 'secret'],
    [basic('secret'), null],
    [basic('x:'), null],
    ['Digest x', null],
    ['', null],
    [undefined, null],
  ])('of %s', (header, expected) => {
    expect(readToken(header)?.reveal() ?? null).toBe(expected)
  })
})

async function* chunksOf(...chunks: (Buffer | string)[]): AsyncGenerator<Buffer, void> {
  for (const chunk of chunks) yield Buffer.from(chunk)
}

describe('the beginning of a push', () => {
  const command = encodePkt(`${zero} ${one} refs/heads/main\0 report-status side-band-64k agent=git/2`)

  it('is read to its flush, and every byte is kept for git', async () => {
    const shallow = encodePkt(`shallow ${one}`)
    const head = await readPushHead(chunksOf(shallow, command.subarray(0, 9), command.subarray(9), flushPkt, 'PACK'))
    expect(head?.updates).toEqual([{ old: zero, new: one, ref: 'refs/heads/main' }])
    expect(head?.abilities.has('side-band-64k')).toBe(true)
    expect(head?.bytes).toEqual(Buffer.concat([shallow, command, flushPkt]))
  })

  it('may be a mere try', async () => {
    expect(await readPushHead(chunksOf('0000'))).toBeNull()
  })

  it.each([
    ['garbage', 'garbage'],
    ['half', command.subarray(0, 20)],
    ['nothing', ''],
    ['a shallow line only', `${encodePkt(`shallow ${one}`).toString()}0000`],
  ])('that is %s is refused', async (_, bytes) => {
    await expect(readPushHead(chunksOf(bytes))).rejects.toThrow(SlipwayError)
  })
})

describe('git’s answer', () => {
  const band = (number: number, text: string): Buffer =>
    encodePkt(Buffer.concat([Buffer.from([number]), Buffer.from(text)]))

  it('passes on byte by byte, with an explanation before the report', () => {
    const answer = new AnswerReader((report) => (report.includes('ng ') ? ['because'] : []))
    const progress = band(2, 'Resolving deltas\r')
    const report = band(1, '000eunpack ok\nng refs/heads/main no\n0000')
    const whole = Buffer.concat([progress, report, flushPkt])
    const passed = Buffer.concat([...whole].map((byte) => answer.pass(Buffer.from([byte]))))
    expect(passed).toEqual(Buffer.concat([progress, band(2, 'because\n'), report, flushPkt]))
    expect(answer.finished).toBe(true)
  })

  it('a refusal names every ref and fits into packets', () => {
    const updates = Array.from({ length: 5000 }, (_, i) => ({ old: zero, new: one, ref: `refs/heads/${i}` }))
    const bytes = refusal(updates, new Set(['side-band-64k', 'report-status']), { lines: ['no'], reason: 'no' })
    const answer = new AnswerReader(() => [])
    expect(answer.pass(bytes)).toEqual(bytes)
    expect(answer.finished).toBe(true)
    expect(refusal(updates, new Set(), { lines: ['no'], reason: 'no' })).toHaveLength(0)
  })
})
