import { expect, it } from '@jest/globals'
import { versionFrom } from '../../../src/http/schemas.ts'

const read = (given?: string) => versionFrom({ headers: given === undefined ? {} : { 'if-match': given } })

it.each(['"7"', '7', ' "7" '])('reads the version from If-Match: %s', (given) => {
  expect(read(given)).toEqual({ ifVersion: 7 })
})

it('takes whatever there is without the header, or with a star', () => {
  expect([read(), read('*')]).toEqual([{}, {}])
})

it.each(['', '0', '-1', '1.5', 'W/"7"', '"7", "8"', '9999999999', 'x'])('refuses anything else: %s', (given) => {
  expect(() => read(given)).toThrow('If-Match')
})
