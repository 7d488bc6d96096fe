import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { makeEnvironments, type Environment } from '../../src/environments/index.ts'
import { Secret } from '../../src/kernel/secret.ts'
import { copyProtection, makeProtections, type Protections } from '../../src/protection/index.ts'
import { passwordHash } from '../../src/routing/index.ts'
import { until } from '../support/proxy.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

/* What the database, the proxy (in memory) and the deploys make of it together; what the proxy makes of it is in haproxy-protection. */

const key = new Secret(Buffer.alloc(32, 5).toString('base64'))
let spine: Spine
let protection: Protections
let test: Environment
let live: Environment

beforeAll(async () => {
  spine = await makeSpine()
  test = await spine.environment('test')
  live = await spine.environment('live')
  await deployed('test', 'a')
  await deployed('live', 'a')
})
afterAll(() => spine.close())
beforeEach(async () => {
  protection = makeProtections({
    db: spine.db,
    hash: async (credentials) => passwordHash(key, credentials),
    apply: (id) => spine.deploys.applyExposure(id),
  })
  for (const environment of [test, live])
    await protection.change(environment, { open: true, onlyReleases: false, limits: none })
  await protection.setReleaseAddresses(live, 'protected')
})

const none = { requests: null, visitorRate: null, visitorRequests: null }
const user = (name: string, password = 's3cret') => ({ setUser: { name, password: new Secret(password) } })
/** Resolves with its log when it has ended. */
const deployed = async (environment: 'test' | 'live', commit: string): Promise<string[]> =>
  spine.log(await spine.deploy(environment, commitOf(commit)))
/** Host → its flags; a host that is not there is not among them. */
async function flags(): Promise<Record<string, string>> {
  const { hosts } = await spine.router.read()
  return Object.fromEntries(
    [...hosts].map(([host, entry]) => [host.replace('.localhost', ''), entry.split('/')[1] ?? '']),
  )
}
const rulesOf = async ({ id }: Environment) => (await spine.router.read()).rules?.get(id)

describe('protection', () => {
  it('is with the proxy when the change has answered, and gone when it is taken away', async () => {
    const before = await flags()
    expect(before).toMatchObject({ 'test--shop': '', 'v1--test--shop': '', shop: 'i' })
    await protection.change(test, user('anna'))
    expect(await flags()).toEqual({ ...before, 'test--shop': 'p', 'v0--test--shop': 'p', 'v1--test--shop': 'p' })
    expect((await rulesOf(test))?.passwords).toEqual([
      passwordHash(key, { user: 'anna', password: new Secret('s3cret') }),
    ])
    await protection.change(test, { allow: ['203.0.113.0/24'], limits: { requests: 5 } })
    expect(await flags()).toEqual({ ...before, 'test--shop': 'pal', 'v0--test--shop': 'pal', 'v1--test--shop': 'pal' })
    await protection.change(test, { removeUser: 'anna' })
    expect(await flags()).toMatchObject({ 'test--shop': 'al' })
    await protection.change(test, { open: true, limits: none })
    expect(await flags()).toEqual(before)
    expect(await rulesOf(test)).toBeUndefined()
  })

  it('has its rules before a host names them, and removes them after', async () => {
    const { changes } = spine.router
    const from = changes.length
    await protection.change(test, user('anna'))
    await protection.change(test, { open: true })
    const told = changes.slice(from).filter((change) => /^(setRules|addHost test)/.test(change))
    const [, host] = [...(await spine.router.read()).hosts].find(([name]) => name.startsWith('test--')) ?? []
    const open = `addHost test--shop.localhost ${host ?? ''}`
    expect(told).toEqual([`setRules ${test.id}`, `${open}/p/${test.id}`, open, `setRules ${test.id}`])
  })

  it('keeps no password, and tells none', async () => {
    const after = await protection.change(test, user('anna', 'a very special secret'))
    const rows = await spine.db.query('select * from environment_passwords')
    const events = await spine.db.query(`select * from events where kind = 'protection.changed'`)
    for (const text of [rows, events, after, [...spine.router.changes]].map((value) => JSON.stringify(value))) {
      expect(text).not.toContain('special')
      expect(text).not.toContain(Buffer.from('a very special secret').toString('base64').slice(0, 10))
    }
    expect(after.users.map(({ name }) => name)).toEqual(['anna'])
  })

  it('is there after a swap, on the address of the new release too, and after a restart', async () => {
    await protection.change(test, user('anna'))
    await deployed('test', 'b')
    expect(await flags()).toMatchObject({ 'test--shop': 'p', 'v2--test--shop': 'p' })
    await spine.router.replaceAll({ hosts: new Map(), keys: new Map(), sets: new Map() })
    await spine.restart()
    expect(await flags()).toMatchObject({ 'test--shop': 'p', 'v2--test--shop': 'p', shop: 'i' })
    expect((await rulesOf(test))?.passwords).toHaveLength(1)
  })

  it('of a proxy that does not answer is recorded, told, and there with the next comparison', async () => {
    spine.router.failNext('setRules')
    await expect(protection.change(test, user('anna'))).rejects.toMatchObject({
      code: 'unavailable',
      message: 'This is recorded, but the proxy does not answer: it is not in force yet.',
    })
    expect((await protection.get(test.id)).users).toHaveLength(1)
    expect(await flags()).toMatchObject({ 'test--shop': '' })
    await spine.deploys.reconcile()
    expect(await flags()).toMatchObject({ 'test--shop': 'p' })
  })

  it('is the same when the same is asked for twice or by many at once', async () => {
    const names = ['anna', 'bert', 'carl', 'dora']
    await Promise.all(names.map((name) => protection.change(test, user(name))))
    await protection.change(test, user('anna', 'other'))
    expect((await protection.get(test.id)).users.map(({ name }) => name)).toEqual(names)
    expect((await rulesOf(test))?.passwords).toHaveLength(4)
  })

  it('leaves what a change does not name', async () => {
    await protection.change(test, { ...user('anna'), onlyReleases: true, limits: { requests: 5, visitorRate: 7 } })
    await protection.change(test, { limits: { requests: 6 } })
    expect(await protection.get(test.id)).toMatchObject({
      onlyReleases: true,
      limits: { requests: 6, visitorRate: 7, visitorRequests: null },
    })
    // Whoever lets everybody in and closes it again later means the environment itself.
    await protection.change(test, { open: true })
    expect(await protection.get(test.id)).toMatchObject({ users: [], onlyReleases: false, limits: { requests: 6 } })
  })

  it('has at most as much as it may, also when two add to it at once', async () => {
    const ranges = Array.from({ length: 120 }, (_, i) => `192.0.2.${i}`)
    let second: Promise<unknown> = Promise.resolve()
    await spine.db.transaction(async (tx) => {
      await tx.query('select 1 from environments where id = $1 for no key update', [test.id])
      await tx.query('insert into environment_ranges (environment_id, range) select $1, unnest($2::cidr[])', [
        ...[test.id, ranges.slice(60)],
      ])
      second = protection.change(test, { allow: ranges.slice(0, 60) }).catch((error: unknown) => error)
      await new Promise((resolve) => setTimeout(resolve, 200))
    })
    expect(await second).toMatchObject({ code: 'bad_request' })
    expect((await protection.get(test.id)).ranges).toHaveLength(60)
  })

  it('goes with a new environment that is like this one', async () => {
    await protection.change(test, { ...user('anna'), allow: ['203.0.113.0/24'], limits: { requests: 4 } })
    const environments = makeEnvironments({ db: spine.db, copyProtection })
    const copy = await environments.add('shop', { name: 'qa', from: 'test' })
    expect(copy.protection).toEqual({ users: 1, ranges: 1, onlyReleases: false })
    expect((await protection.get(copy.id)).limits).toEqual({ ...none, requests: 4 })
    const plain = await environments.add('shop', { name: 'plain' })
    expect(plain.protection).toEqual({ users: 0, ranges: 0, onlyReleases: false })
  })
})

describe('the addresses of live’s releases', () => {
  it('are off until somebody may see them, then ask for the password; live’s own stays open with only-releases', async () => {
    for (const label of ['v0--shop', 'v1--shop']) expect(await flags()).not.toHaveProperty(label)
    await protection.change(live, { ...user('anna'), onlyReleases: true })
    expect(await flags()).toMatchObject({ shop: 'i', 'v0--shop': 'p', 'v1--shop': 'p' })
    await protection.change(live, { onlyReleases: false })
    expect(await flags()).toMatchObject({ shop: 'pi', 'v1--shop': 'p' })
    const told = (): Promise<object[]> => spine.db.query(`select 1 from events where kind = 'app.changed'`)
    const before = (await told()).length
    await protection.setReleaseAddresses(live, 'off')
    await protection.setReleaseAddresses(live, 'off')
    expect(await told()).toHaveLength(before + 1)
    for (const label of ['v0--shop', 'v1--shop']) expect(await flags()).not.toHaveProperty(label)
    await protection.change(live, { open: true })
    await protection.setReleaseAddresses(live, 'public')
    expect(await flags()).toMatchObject({ shop: 'i', 'v0--shop': '', 'v1--shop': '' })
  })

  it('are printed by a deploy when they answer, and go with their release', async () => {
    const printed = async (commit: string): Promise<boolean> =>
      (await deployed('live', commit)).some((line) => /v\d+--shop\./.test(line))
    expect(await printed('c')).toBe(false)
    await protection.setReleaseAddresses(live, 'public')
    expect(await printed('d')).toBe(true)
    expect(await printed('e')).toBe(true)
    // The older one goes in the background.
    const numbers = async (): Promise<string[]> =>
      Object.keys(await flags()).filter((one) => /^v[1-9]\d*--shop$/.test(one))
    await until(async () => (await numbers()).length === 1, 5_000, 'the address of the older release to go')
    expect(await numbers()).toEqual(['v4--shop'])
  })
})

describe('what is no protection is refused, and nothing is changed', () => {
  it.each([
    ['', 'the name of a user'],
    ['a:b', 'the name of a user'],
    [' anna', 'the name of a user'],
    ['an\nna', 'the name of a user'],
    ['an\u0000na', 'the name of a user'],
    ['\ud800', 'the name of a user'],
    ['ä'.repeat(33), 'the name of a user'],
  ])('the user %j', async (name, told) => {
    await expect(protection.change(test, user(name))).rejects.toMatchObject({
      code: 'bad_request',
      message: expect.stringContaining(told) as unknown,
    })
    expect((await protection.get(test.id)).users).toEqual([])
  })

  it.each(['', 'two\nlines', 'a\rb', 'tab\t', '\u0000', '\u007f', '\ud800', 'x'.repeat(201)])(
    'the password %j, of which nothing is told',
    async (password) => {
      const refused = await protection.change(test, user('anna', password)).catch((error: unknown) => error)
      expect(refused).toMatchObject({ code: 'bad_request' })
      if (password.length > 1) expect(JSON.stringify(refused) + String(refused)).not.toContain(password)
    },
  )

  it.each([
    [{ allow: ['203.0.113.0/24', 'nonsense'] }, 'bad_request'],
    [{ allow: ['0.0.0.0/0'] }, 'bad_request'],
    [{ ...user('eve'), disallow: ['198.51.100.0/24'] }, 'not_found'],
    [{ ...user('eve'), removeUser: 'nobody' }, 'not_found'],
    [{ limits: { requests: 0 } }, 'bad_request'],
    [{ limits: { visitorRate: -1 } }, 'bad_request'],
    [{ limits: { visitorRequests: 2.5 } }, 'bad_request'],
    [{ limits: { requests: 2_000_000 } }, 'bad_request'],
  ])('%j', async (change, code) => {
    await protection.change(test, { ...user('anna'), allow: ['192.0.2.0/24'] })
    await expect(protection.change(test, change)).rejects.toMatchObject({ code })
    const { users, ranges, limits } = await protection.get(test.id)
    expect([users.map(({ name }) => name), ranges, limits]).toEqual([['anna'], ['192.0.2.0/24'], none])
  })

  it('more users or ranges than a hundred', async () => {
    const ranges = Array.from({ length: 101 }, (_, i) => `192.0.2.${i}`)
    await expect(protection.change(test, { allow: ranges })).rejects.toMatchObject({ code: 'bad_request' })
    await protection.change(test, { allow: ranges.slice(1) })
    expect((await protection.get(test.id)).ranges).toHaveLength(100)
  })
})

describe('stopping an environment', () => {
  it('leaves its protection, and a change meanwhile gives its release no address', async () => {
    await protection.change(test, user('anna'))
    await spine.deploys.stopServing(test.id, 'ada')
    await protection.change(test, { allow: ['192.0.2.0/24'] })
    const { hosts, keys } = await spine.router.read()
    expect(keys.get(`e${test.id}`)).toEqual({ state: 'stopped' })
    expect([...hosts.keys()].filter((one) => one.endsWith('--test--shop.localhost'))).toEqual([])
    await deployed('test', 'f')
    expect(await flags()).toMatchObject({ 'test--shop': 'pa' })
  })
})

describe('removing an environment', () => {
  it('removes its rules', async () => {
    const environments = makeEnvironments({ db: spine.db, copyProtection })
    const gone = await environments.add('shop', { name: 'gone' })
    await protection.change(gone, { ...user('anna'), allow: ['192.0.2.0/24'], limits: { requests: 4 } })
    await spine.db.query('delete from environments where id = $1', [gone.id])
    for (const table of ['passwords', 'ranges', 'rules']) {
      expect(await spine.db.query(`select 1 from environment_${table} where environment_id = $1`, [gone.id])).toEqual(
        [],
      )
    }
  })
})
