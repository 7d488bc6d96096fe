import { expect, it } from '@jest/globals'
import { isLoopbackHost, parseServerUrl } from '../../../src/cli/server-url.ts'

it.each([
  ['http://slipway.localhost:8080', 'http://slipway.localhost:8080'],
  ['http://slipway.localhost:8080/', 'http://slipway.localhost:8080'],
  ['slipway.localhost:8080', 'http://slipway.localhost:8080'],
  ['127.0.0.1:8080', 'http://127.0.0.1:8080'],
  ['slipway.example.org', 'https://slipway.example.org'],
  ['HTTPS://Slipway.Example.org/apps?x=1', 'https://slipway.example.org'],
])('%s is %s', (typed, origin) => {
  expect(parseServerUrl(typed)).toBe(origin)
})

it.each(['', 'ftp://x', 'http://', 'http://a:b@x', 'javascript://x', 'file:///etc/passwd', 'http://x y'])(
  '%j is none',
  (typed) => {
    expect(() => parseServerUrl(typed)).toThrow()
  },
)

it.each([
  ['localhost', true],
  ['test--shop.localhost', true],
  ['127.8.0.1', true],
  ['[::1]', true],
  ['localhost.example.org', false],
  ['127.0.0.1.example.org', false],
  ['notlocalhost', false],
])('%s is this machine: %s', (host, yes) => {
  expect(isLoopbackHost(host)).toBe(yes)
})
