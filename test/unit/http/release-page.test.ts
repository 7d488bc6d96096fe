import { describe, expect, it } from '@jest/globals'
import { presentRelease, renderReleasePage, renderReleaseText } from '../../../src/http/release-page.ts'

const release = {
  releaseId: 12,
  number: 3,
  app: 'shop',
  environment: 'test',
  environmentId: 7,
  label: 'test--shop',
  live: false,
  isActive: true,
  commit: 'abcdef0123'.repeat(4),
  createdAt: new Date('2026-11-03T10:00:00Z'),
  isKept: false,
  wasLive: true,
}

describe('the page of a release that does not run', () => {
  it('says of one that is gone what it was', () => {
    const page = presentRelease({ kind: 'gone', release })
    expect(page.status).toBe(410)
    expect(renderReleaseText(page)).toContain('v3 of test in shop was made on 2026-11-03 from commit abcdef0123.')
  })

  it('tells nothing of one that is not known', () => {
    const page = presentRelease({ kind: 'unknown' })
    expect([page.status, renderReleaseText(page)]).toEqual([404, expect.not.stringMatching(/v\d|shop/)])
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
