import { describe, expect, it } from '@jest/globals'
import { appOfRemote, parseRemotes } from '../../../src/cli/git.ts'

describe('the app of a remote', () => {
  it.each([
    ['http://slipway.localhost:8080/shop.git', 'shop'],
    ['http://slipway.localhost:8080/shop', 'shop'],
    ['http://anyone@slipway.localhost:8080/shop.git', 'shop'],
    ['http://anyone:token@slipway.localhost:8080/shop.git/', 'shop'],
    ['ssh://git@slipway.localhost:2222/shop.git', 'shop'],
    ['ssh://git@127.0.0.1:2222/shop.git', 'shop'],
    ['git@127.0.0.1:shop.git', 'shop'],
    ['http://slipway.localhost/shop.git', null],
    ['https://slipway.localhost:8080/shop.git', null],
    ['http://slipway.localhost.evil.example:8080/shop.git', null],
    ['http://slipway.localhost:8080/a/b.git', null],
    ['http://slipway.localhost:8080/..%2fx.git', null],
    ['http://slipway.localhost:8080/-x.git', null],
    ['git@github.com:me/shop.git', null],
    ['/srv/git/shop.git', null],
    ['file:///srv/git/shop.git', null],
    ['', null],
  ])('%s → %s', (remote, app) => {
    expect(appOfRemote(remote, 'http://slipway.localhost:8080')).toBe(app)
  })

  it('SSH of a server elsewhere is known by its host', () => {
    expect(appOfRemote('ssh://git@slipway.example.org:2222/shop.git', 'https://slipway.example.org')).toBe('shop')
    expect(appOfRemote('git@slipway.example.org:shop.git', 'https://slipway.example.org')).toBe('shop')
    expect(appOfRemote('git@127.0.0.1:shop.git', 'https://slipway.example.org')).toBeNull()
  })
})

it('reads git remote -v: each URL once, partial-clone marks and odd lines aside', () => {
  const text =
    'a\thttp://x/a.git (fetch)\na\thttp://x/a.git (push)\nb\t/has space/b (fetch) [blob:none]\nb\t../c (push)\nnoise\n'
  expect(parseRemotes(text)).toEqual([
    { name: 'a', url: 'http://x/a.git' },
    { name: 'b', url: '/has space/b' },
    { name: 'b', url: '../c' },
  ])
})
