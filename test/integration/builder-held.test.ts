import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { docker, makeTestBuilds, tarOf } from '../support/builds.ts'

const builds = makeTestBuilds(`tbh${process.pid}`)
let base: string

beforeAll(async () => {
  base = await ensureBaseImage()
})
afterAll(() => builds.removeAll())

/** What there is of an installation's builds. */
const containers = (): Promise<string[]> =>
  docker('ps', '-q', '--filter', `label=slipway.installation=${builds.installation}`)

describe('a build that fails after another server has taken it over', () => {
  const build = (isHeld: boolean, text: string, signal = new AbortController().signal) =>
    builds.builder.build(
      {
        ...{ buildId: 4711, app: 'shop', labels: {}, ignore: '', target: null, args: {}, pull: 'missing' },
        openContext: () => tarOf({ Dockerfile: text }),
        dockerfile: { path: 'Dockerfile', text },
        limits: { memoryBytes: 128 * 1024 ** 2, cpus: 1, timeoutMs: 120_000 },
      },
      { onLine: () => undefined, isHeld: async () => isHeld, signal },
    )

  it('leaves the containers and images of that build to the other; one that was not removes them', async () => {
    const over = new AbortController()
    const others = build(true, `FROM ${base}\nRUN sleep 300\n`, over.signal)
    others.catch(() => undefined)
    while ((await containers()).length === 0) await new Promise((resolve) => setTimeout(resolve, 50))
    const running = await containers()
    await expect(build(false, `FROM ${base}\nRUN exit 3\n`)).rejects.toMatchObject({ code: 'build_failed' })
    expect(await containers()).toEqual(running)
    over.abort()
    await expect(others).rejects.toMatchObject({ code: 'cancelled' })
    expect(await builds.traces()).toEqual([])
  })
})
