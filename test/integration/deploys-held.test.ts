import { afterEach, beforeEach, expect, it } from '@jest/globals'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine

beforeEach(async () => {
  spine = await makeSpine()
})
afterEach(() => spine.close())

const held = async (): Promise<boolean> => (await spine.environment('test')).held

it('the hold on pushes ends when a person’s deploy is live, not before, and not by a push or a rollback', async () => {
  await spine.db.query('update environments set held = true')
  await spine.log(await spine.push('test', commitOf('a')))
  await spine.log(await spine.request('rollback', 'test', commitOf('b')))
  expect(await held()).toBe(true)
  spine.onBuild = () => Promise.reject(new Error('broken'))
  await spine.log(await spine.deploy('test', commitOf('c')))
  expect(await held()).toBe(true)
  spine.onBuild = async () => undefined
  const { version } = await spine.environment('test')
  await spine.log(await spine.deploy('test', commitOf('c')))
  expect(await spine.environment('test')).toMatchObject({ held: false, version: version + 1 })
  await spine.db.query('update environments set held = true')
  await spine.log(await spine.request('promotion', 'test', commitOf('d')))
  expect(await held()).toBe(false)
  expect((await spine.environment('live')).held).toBe(true)
})

it('nothing new begins in what is being removed', async () => {
  await spine.db.query(`update environments set state = 'removing'`)
  await expect(spine.push('test', commitOf('a'))).rejects.toMatchObject({ code: 'conflict' })
})
