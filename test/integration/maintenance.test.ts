import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { Environment } from '../../src/environments/index.ts'
import { makeMaintenance, type MaintenanceMode } from '../../src/protection/index.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

/* What the database, the proxy (in memory) and the deploys make of it together; what the proxy makes of it is in haproxy-maintenance. */

let spine: Spine
let maintenance: MaintenanceMode
let test: Environment
let live: Environment
const by = { by: 'anna' }
const usual = { message: '', allow: [] }

beforeAll(async () => {
  spine = await makeSpine()
  test = await spine.environment('test')
  live = await spine.environment('live')
  await spine.log(await spine.deploy('test', commitOf('a')))
})
afterAll(() => spine.close())
beforeEach(async () => {
  const mask = async (_id: number, text: string): Promise<string> => text.replaceAll('hunter22', '[masked]')
  maintenance = makeMaintenance({ db: spine.db, apply: (id) => spine.deploys.applyExposure(id), mask })
  for (const one of [test, live]) await maintenance.end(one, by)
})

async function flags(): Promise<Record<string, string>> {
  const { hosts } = await spine.router.read()
  return Object.fromEntries(
    [...hosts].map(([host, entry]) => [host.replace('.localhost', ''), entry.split('/')[1] ?? '']),
  )
}
const told = async ({ id }: Environment) => (await spine.router.read()).rules?.get(id)?.maintenance

describe('the maintenance page', () => {
  it('is before the site and its releases when the change has answered, and gone when it has ended', async () => {
    const before = await flags()
    await maintenance.begin(test, { message: 'Back at 14:00', allow: ['203.0.113.0/24'] }, by)
    expect(await flags()).toEqual({ ...before, 'test--shop': 'm', 'v1--test--shop': 'm', 'v0--test--shop': 'm' })
    expect(await told(test)).toEqual({ message: 'Back at 14:00', allowed: ['4CB0071'] })
    expect((await spine.environment('test')).maintenance).toMatchObject({
      ...{ message: 'Back at 14:00', by: 'anna', allow: ['203.0.113.0/24'] },
      since: expect.any(Date),
    })
    await maintenance.begin(test, { message: null, allow: ['198.51.100.7'] }, by)
    expect(await told(test)).toEqual({ message: 'Back at 14:00', allowed: ['4C6336407'] })
    await maintenance.begin(test, { message: 'Back at 15:00', allow: null }, by)
    expect(await told(test)).toEqual({ message: 'Back at 15:00', allowed: ['4C6336407'] })
    await maintenance.begin(test, usual, by)
    expect(await told(test)).toEqual({ message: expect.stringContaining('back soon'), allowed: [] })
    expect(await maintenance.end(test, by)).toBe(true)
    expect(await flags()).toEqual(before)
    expect(await told(test)).toBeUndefined()
    expect(await maintenance.end(test, by)).toBe(false)
  })

  it('stays while deploys go on and swap behind it, and is before an environment that had served nothing', async () => {
    await maintenance.begin(live, usual, by)
    await spine.log(await spine.deploy('live', commitOf('b')))
    expect(await flags()).toMatchObject({ shop: 'mi' })
    const before = (await spine.router.read()).keys.get(`e${live.id}`)
    await spine.log(await spine.deploy('live', commitOf('c')))
    expect(await flags()).toMatchObject({ shop: 'mi' })
    const { keys } = await spine.router.read()
    expect(keys.get(`e${live.id}`)).not.toEqual(before)
  })

  it('ends in the proxy, too, when only that has not heard of its end', async () => {
    await maintenance.begin(test, usual, by)
    await spine.db.query('delete from environment_maintenance where environment_id = $1', [test.id])
    expect(await maintenance.end(test, by)).toBe(false)
    expect(await told(test)).toBeUndefined()
  })

  it('survives a restart of Slipway and a proxy that has lost it', async () => {
    await maintenance.begin(test, { message: 'soon', allow: [] }, by)
    await spine.router.addHost('test--shop.localhost', `e${test.id}`)
    await spine.router.setRules(test.id, null)
    expect((await spine.deploys.findDifferences()).length).toBeGreaterThan(0)
    await spine.restart()
    expect(await flags()).toMatchObject({ 'test--shop': 'm' })
    expect(await told(test)).toMatchObject({ message: 'soon' })
    expect(await spine.deploys.findDifferences()).toEqual([])
  })

  it('is for the version that was seen, and counts as a change', async () => {
    const seen = await spine.environment('test')
    await maintenance.begin(test, usual, by)
    const late = maintenance.begin(test, usual, { ...by, ifVersion: seen.version })
    await expect(late).rejects.toMatchObject({ code: 'conflict' })
    await expect(maintenance.end(test, { ...by, ifVersion: seen.version })).rejects.toMatchObject({ code: 'conflict' })
    expect((await spine.environment('test')).version).toBe(seen.version + 1)
  })

  it.each([
    ['a message of 10,000 signs', { message: 'x'.repeat(10_000), allow: [] }],
    ['a message with line ends', { message: 'a\nb', allow: [] }],
    ['blanks alone', { message: '  ', allow: [] }],
    ['a range that is none', { message: '', allow: ['203.0.113.7/24'] }],
    ['too many ranges', { message: '', allow: Array.from({ length: 101 }, (_, i) => `203.0.113.${i}/32`) }],
  ])('refuses %s', async (_what, wish) => {
    await expect(maintenance.begin(test, wish, by)).rejects.toMatchObject({ code: 'bad_request' })
    expect((await spine.environment('test')).maintenance).toBeNull()
  })

  it('takes a secret out of the message, and says when the proxy could not be told', async () => {
    await maintenance.begin(test, { message: 'hunter22 is new', allow: [] }, by)
    expect(await told(test)).toMatchObject({ message: '[masked] is new' })
    spine.router.failNext('setRules')
    const failed = maintenance.begin(test, { message: 'other', allow: [] }, by)
    await expect(failed).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining('recorded') })
  })

  it('goes with its environment, and does not come back with a comparison', async () => {
    await maintenance.begin(test, usual, by)
    await spine.db.query(`update environments set state = 'removing' where id = $1`, [test.id])
    await spine.deploys.takeDown({ ...test, app: 'shop' }, AbortSignal.timeout(20_000))
    expect(await told(test)).toBeUndefined()
    expect(await spine.deploys.findDifferences()).toEqual([])
  })
})
