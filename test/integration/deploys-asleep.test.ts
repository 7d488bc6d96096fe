import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

/* Releases that do not run any more, asked for at their own addresses. */

let spine: Spine

beforeEach(async () => {
  spine = await makeSpine()
})
afterEach(() => spine.close())

const goLive = async (commit: string): Promise<void> => {
  expect((await spine.log(await spine.push('test', commitOf(commit)))).at(-1)).toMatch(/status=live$/)
}
const ask = async (host: string): Promise<string> => (await spine.deploys.askForRelease(host)).kind
const v = (number: number): string => `v${number}--test--shop.localhost`

describe('a release that does not run', () => {
  it('is found by its address; what never was, never went live or shows no address is not', async () => {
    await goLive('a')
    await goLive('b')
    spine.config = { ...spine.config, port: 1, health: { ...spine.config.health, deadlineMs: 100 } }
    await spine.log(await spine.push('test', commitOf('c')))
    expect(await spine.deploys.askForRelease(v(1))).toMatchObject({
      kind: 'asleep',
      release: { number: 1, app: 'shop', environment: 'test', commit: commitOf('a') },
    })
    expect(await Promise.all([v(3), v(4), 'v1--shop.localhost', 'x', ''].map(ask))).toEqual(Array(5).fill('unknown'))
    const others = [
      'v0--test--shop.localhost',
      'v1--test--shop.example.org',
      'v01--test--shop.localhost',
      'v9999999999--test--shop.localhost',
    ]
    expect(await Promise.all(others.map(ask))).toEqual(Array(4).fill('unknown'))
  })

  it('is gone when its image is, whatever went before', async () => {
    await goLive('a')
    await goLive('b')
    await spine.db.query('update builds set image_removed_at = now() where commit = $1', [commitOf('a')])
    expect(await spine.deploys.askForRelease(v(1))).toMatchObject({ kind: 'gone', release: { commit: commitOf('a') } })
  })

  it('has no address while its environment is stopped', async () => {
    await goLive('a')
    await goLive('b')
    const { id } = await spine.environment('test')
    await spine.deploys.stopServing(id, 'ada')
    expect(await ask(v(1))).toBe('unknown')
    expect([...(await spine.router.read()).hosts.keys()]).not.toContain('v0--test--shop.localhost')
    await spine.log((await spine.deploys.startServing(id, 'ada')).deployId)
    expect(await ask(v(1))).toBe('asleep')
    expect((await spine.router.read()).hosts.get('v0--test--shop.localhost')).toBe(`w${id}`)
  })
})
