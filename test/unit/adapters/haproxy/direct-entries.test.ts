import { describe, expect, it } from '@jest/globals'
import { directEntries } from '../../../../src/adapters/haproxy/entries.ts'

const map = (text: string): Map<string, string> =>
  new Map(text.split(' ').flatMap((pair) => (pair === '' ? [] : [pair.split('=') as [string, string]])))

describe('the short way of a host', () => {
  it.each([
    ['is there for the only host of a set of one', ['a=e1', 'e1=r1/1', 'r1/1=10.0.0.1:80'], 'a=10.0.0.1:80@e1'],
    ['is not there with two hosts: a swap must be one command', ['a=e1 b=e1', 'e1=r1/1', 'r1/1=10.0.0.1:80'], ''],
    ['nor for a set of several', ['a=e1', 'e1=r1/2', 'r1/1=10.0.0.1:80 r1/2=10.0.0.2:80'], ''],
    ['nor for a set of eleven, whose size ends in 1', ['a=e1', 'e1=r1/11', 'r1/11=10.0.0.1:80'], ''],
    ['nor for a state', ['a=e1', 'e1=failed', ''], ''],
    ['nor without a route', ['a=e1', '', 'r1/1=10.0.0.1:80'], ''],
    ['nor without an address', ['a=e1', 'e1=r1/1', ''], ''],
    ['nor for a release’s own address: its answers name it', ['v1--a=r1', 'r1=d1/1', 'd1/1=10.0.0.1:80'], ''],
    ['is each key’s own', ['a=e1 b=e2 c=e2', 'e1=r1/1 e2=r1/1', 'r1/1=10.0.0.1:80'], 'a=10.0.0.1:80@e1'],
  ])('%s', (_, [hosts = '', routes = '', targets = ''], expected) => {
    expect(directEntries({ hosts: map(hosts), routes: map(routes), targets: map(targets) })).toEqual(map(expected))
  })
})
