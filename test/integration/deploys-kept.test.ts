import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { makeImages } from '../../src/builds/index.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

/* An image that was made of the same before is taken in place of another build. */

let spine: Spine

beforeEach(async () => {
  spine = await makeSpine()
})
afterEach(() => spine.close())

type Name = 'test' | 'live'
const buildOf = async (id: number): Promise<number | null> => (await spine.deploys.get(id)).buildId
const made = (): number => spine.builder.begun.length
async function deployed(name: Name, commit: string, more: { forceRebuild?: boolean } = {}) {
  const id = await spine.request('deploy', name, commitOf(commit), more)
  const log = await spine.log(id)
  expect((await spine.deploys.get(id)).state).toBe('live')
  return { id, log, build: await buildOf(id) }
}
async function setForBuild(name: Name, value: string): Promise<void> {
  const { id } = await spine.environment(name)
  await spine.vars.change(id, { set: [{ name: 'THEME', value, build: true }], unset: [] }, 'ada')
}

describe('a commit that was built before', () => {
  it('is not built again, in whatever environment of the app, and that is told in one line', async () => {
    const first = await deployed('test', 'a')
    const live = await deployed('live', 'a')
    expect([live.build, made()]).toEqual([first.build, 1])
    expect(live.log.filter((line) => /Image of build/.test(line))).toEqual([
      expect.stringMatching(/^step: Image of build 1 \(v1 of test, \d+ s ago\) is taken: same commit and settings$/),
    ])
    expect(live.log.join('\n')).not.toMatch(/Building/)
    await deployed('test', 'b')
    expect([(await deployed('test', 'a')).build, made()]).toEqual([first.build, 2])
  })

  it('is built for who forces it, and that image is the one that is taken from then on', async () => {
    const first = await deployed('test', 'a')
    const forced = await deployed('test', 'a', { forceRebuild: true })
    expect([forced.build === first.build, made()]).toEqual([false, 2])
    expect(forced.log.join('\n')).toMatch(/Building aaaaaaaaaa without layer cache/)
    expect([(await deployed('live', 'a')).build, made()]).toEqual([forced.build, 2])
  })

  it('is built for other build variables, and not for any other variable', async () => {
    await setForBuild('test', 'red')
    const red = await deployed('test', 'a')
    expect((await deployed('live', 'a')).build).not.toBe(red.build)
    await setForBuild('live', 'red')
    const { id } = await spine.environment('live')
    await spine.vars.change(id, { set: [{ name: 'GREETING', value: 'hello' }], unset: [] }, 'ada')
    expect((await deployed('live', 'a')).build).toBe(red.build)
    await setForBuild('live', 'blue')
    await deployed('live', 'a')
    expect(made()).toBe(3)
  })

  it('is built again when somebody has removed its image from the engine by hand', async () => {
    const first = await deployed('test', 'a')
    spine.builder.images.clear()
    const again = await deployed('live', 'a')
    expect([again.build === first.build, made()]).toEqual([false, 2])
    // The one that is there is found behind the one that is not.
    const forced = await deployed('live', 'a', { forceRebuild: true })
    spine.builder.images.delete(forced.build as number)
    expect([(await deployed('test', 'a')).build, made()]).toEqual([again.build, 3])
  })

  it('is built again when its image was given up, and not given up while it is taken', async () => {
    const images = makeImages({ db: spine.db, builder: spine.builder, logger: silentLogger })
    const first = await deployed('test', 'a')
    await deployed('test', 'b')
    await spine.db.query(`update instances set state = 'retired' where release_id = 1`)
    expect(await images.remove([first.build as number])).toBe(1)
    const again = await deployed('live', 'a')
    expect([again.build === first.build, made()]).toEqual([false, 3])
    expect(await images.remove([again.build as number])).toBe(0)
  })

  it('of a build that failed is built', async () => {
    spine.onBuild = () => Promise.reject(new Error('broken'))
    await spine.log(await spine.deploy('test', commitOf('a')))
    spine.onBuild = async () => undefined
    await deployed('test', 'a')
    expect(made()).toBe(2)
  })
})
