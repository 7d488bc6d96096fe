import { describe, expect, it } from '@jest/globals'
import { presentRelease, renderReleasePage, renderReleaseText } from '../../../src/http/release-page.ts'

const release = {
  releaseId: 12,
  number: 3,
  appId: 1,
  app: 'shop',
  environment: 'test',
  environmentId: 7,
  label: 'test--shop',
  live: false,
  isActive: true,
  commit: 'abcdef0123'.repeat(4),
  createdAt: new Date('2026-11-03T10:00:00Z'),
  buildId: 4,
  isKept: false,
  holdsRevoked: false,
  wasLive: true,
  madeBy: 5,
  rebuiltAs: null,
  revokedAt: null,
  instance: null,
  drainLeftMs: 0,
}

describe('the page of a release that does not run', () => {
  it('says of one that is gone what it was', () => {
    const page = presentRelease({ kind: 'gone', release, rebuiltUrl: null })
    expect(page.status).toBe(410)
    expect(renderReleaseText(page)).toContain('v3 of test in shop was made on 2026-11-03 from commit abcdef0123.')
    expect(renderReleaseText(page)).toContain('slipway releases rebuild v3 test -a shop')
    const url = 'http://v9--test--shop.localhost'
    const again = presentRelease({ kind: 'gone', release: { ...release, rebuiltAs: 9 }, rebuiltUrl: url })
    expect(renderReleasePage(again).text).toContain(`<a href="${url}">It was made anew as v9</a>`)
  })

  it('tells nothing of one that is not known', () => {
    const page = presentRelease({ kind: 'unknown' })
    expect([page.status, renderReleaseText(page)]).toEqual([404, expect.not.stringMatching(/v\d|shop/)])
  })

  it('waits for one that is started, and loads itself again', () => {
    const page = presentRelease({ kind: 'starting', release })
    expect([page.status, page.retryAfterS]).toEqual([503, 2])
    expect(renderReleasePage(page).text).toContain('<meta http-equiv="refresh" content="2">')
  })

  it('says of one that drains that it is stopped, and loads itself again', () => {
    const page = presentRelease({ kind: 'ending', release: { ...release, drainLeftMs: 20_100 } })
    expect([page.status, page.retryAfterS, page.reloads, page.title]).toEqual([503, 2, true, 'v3 is being stopped'])
    expect(page.lines).toEqual([
      'It finishes the requests that it had begun, for which they have 21 s more. After that this address starts it again.',
    ])
    expect(presentRelease({ kind: 'ending', release }).lines[0]).toMatch(/begun\. After that/)
  })

  it('offers one anew that was built with a value that was revoked', () => {
    const page = presentRelease({ kind: 'refused', release, why: 'revoked', rebuiltUrl: null })
    expect([page.title, page.lines[1]]).toEqual([
      'v3 is not started any more',
      expect.stringContaining('slipway releases rebuild v3 test -a shop'),
    ])
  })

  it.each(['failed', 'memory', 'many', 'busy', 'image', 'revoked'] as const)(
    'says why one is not started, and does not ask again by itself: %s',
    (why) => {
      const page = presentRelease({ kind: 'refused', release, why, rebuiltUrl: null })
      expect([page.status, page.retryAfterS, page.reloads]).toEqual([503, 30, false])
      expect(page.lines.length).toBeGreaterThan(0)
    },
  )

  it('lets one be asked for soon that could not be looked at, and blames what did not answer', () => {
    const page = presentRelease({ kind: 'refused', release, why: 'away', rebuiltUrl: null })
    expect([page.status, page.retryAfterS, page.lines]).toEqual([503, 5, [expect.stringMatching(/does not answer/)]])
  })

  it('offers the rebuild of one whose image somebody has removed, and links what was rebuilt', () => {
    const refused = { kind: 'refused', why: 'image', release: { ...release, isKept: true } } as const
    const page = renderReleaseText(presentRelease({ ...refused, rebuiltUrl: null }))
    expect(page).toMatch(/removed its image .*\n.*slipway releases rebuild v3 test -a shop/)
    const again = {
      ...refused,
      release: { ...refused.release, rebuiltAs: 9 },
      rebuiltUrl: 'http://v9--test--shop.localhost',
    }
    const linked = renderReleaseText(presentRelease(again))
    expect(linked).toContain('It was made anew as v9: http://v9--test--shop.localhost')
    expect(linked).not.toContain('releases rebuild')
  })

  it('is plain where something odd is in it', () => {
    const page = {
      ...presentRelease({ kind: 'unknown' }),
      title: '<b>&',
      lines: ['"<script>'],
      link: { url: 'http://a/?"', text: '<i>' },
    }
    const { text } = renderReleasePage(page)
    expect(text).not.toMatch(/<b>|<script>|<i>|\?"/)
  })
})
