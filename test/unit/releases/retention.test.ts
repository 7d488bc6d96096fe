import { describe, expect, it } from '@jest/globals'
import { chooseImagesToRemove, type KeptImage, type KeptRelease } from '../../../src/releases/index.ts'

const release = (number: number, more: Partial<KeptRelease> = {}): KeptRelease => ({
  environmentId: 1,
  number,
  buildId: number,
  pinned: false,
  running: false,
  serves: false,
  backTo: null,
  wasLive: false,
  ...more,
})
const image = (buildId: number, awaited = false): KeptImage => ({ buildId, awaited })
const upTo = (last: number): number[] => Array.from({ length: last }, (_, i) => i + 1)

describe('which images may go', () => {
  it('are those of releases that are not among the newest', () => {
    expect(
      chooseImagesToRemove(
        upTo(5).map((n) => image(n)),
        upTo(5).map((n) => release(n)),
        2,
      ),
    ).toEqual([1, 2, 3])
  })

  it('go by number, whatever the order in which the releases come', () => {
    const releases = [3, 1, 5, 2, 4].map((n) => release(n))
    expect(
      chooseImagesToRemove(
        [5, 4, 3, 2, 1].map((n) => image(n)),
        releases,
        2,
      ),
    ).toEqual([3, 2, 1])
  })

  it('are not those of what runs, is pinned, or that a deploy has to do with', () => {
    const releases = upTo(6).map((n) => release(n, { running: n === 1, pinned: n === 3 }))
    expect(
      chooseImagesToRemove(
        upTo(6).map((n) => image(n, n === 4)),
        releases,
        1,
      ),
    ).toEqual([2, 5])
  })

  it('are not that of the release that served before: ten failed deploys do not close the way back', () => {
    const releases = upTo(15).map((n) => release(n, { wasLive: n <= 3, running: n === 3 }))
    expect(
      chooseImagesToRemove(
        upTo(15).map((n) => image(n)),
        releases,
        10,
      ),
    ).toEqual([1, 4, 5])
  })

  it('are not that of the release that a rollback goes to, after rollbacks either', () => {
    // v6 went back to v4, which had gone back to v2: what served before that is v1, and v5 and v3 were gone back from.
    const served = [
      release(1, { wasLive: true }),
      release(2, { wasLive: true }),
      release(3, { wasLive: true }),
      release(4, { wasLive: true, backTo: 2, buildId: 2 }),
      release(5, { wasLive: true }),
      release(6, { wasLive: true, backTo: 4, buildId: 2, serves: true, running: true }),
      // It starts.
      release(7, { running: true }),
    ]
    const images = [1, 2, 3, 5].map((n) => image(n))
    expect(chooseImagesToRemove(images, served, 1)).toEqual([3])
    expect(chooseImagesToRemove(images, served.slice(1), 1)).toEqual([1, 3])
    const failed = served.map((one) => (one.number === 1 ? { ...one, wasLive: false } : one))
    expect(chooseImagesToRemove(images, failed, 1)).toEqual([1, 3])
  })

  it('are not that of the one that a rollback goes to when what served right before has the same image', () => {
    const served = [
      release(1, { wasLive: true }),
      release(2, { wasLive: true }),
      release(3, { wasLive: true, buildId: 2, serves: true, running: true }),
      release(4),
    ]
    expect(
      chooseImagesToRemove(
        [1, 2, 4].map((n) => image(n)),
        served,
        1,
      ),
    ).toEqual([])
  })

  it('stay when one of several releases of the build keeps it, in whichever environment', () => {
    const releases = [
      ...upTo(5).map((n) => release(n)),
      release(1, { environmentId: 2, buildId: 1 }),
      release(2, { environmentId: 3, buildId: 2, running: true }),
      ...[3, 4, 5].map((n) => release(n, { environmentId: 3, buildId: n })),
    ]
    expect(
      chooseImagesToRemove(
        upTo(5).map((n) => image(n)),
        releases,
        1,
      ),
    ).toEqual([3, 4])
  })

  it('are those without any release that nobody waits for', () => {
    expect(chooseImagesToRemove([image(1), image(2, true)], [], 10)).toEqual([1])
  })

  it('are none where there is nothing', () => {
    expect(chooseImagesToRemove([], [], 10)).toEqual([])
    expect(chooseImagesToRemove([], [release(1)], 10)).toEqual([])
  })

  it('are found for 10,000 environments with 20 releases each without a pause that is felt', () => {
    const releases: KeptRelease[] = []
    const images: KeptImage[] = []
    for (let environment = 0; environment < 10_000; environment++) {
      for (const number of upTo(20)) {
        const buildId = environment * 20 + number
        releases.push(release(number, { environmentId: environment, buildId, running: number === 20, wasLive: true }))
        images.push(image(buildId))
      }
    }
    const before = performance.now()
    const chosen = chooseImagesToRemove(images, releases, 10)
    expect(chosen).toHaveLength(100_000)
    expect(chosen.every((id) => ((id - 1) % 20) + 1 <= 10)).toBe(true)
    expect(performance.now() - before).toBeLessThan(10_000)
  })
})
