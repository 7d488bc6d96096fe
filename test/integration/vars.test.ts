import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { makeEnvironments } from '../../src/environments/index.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { Secret } from '../../src/kernel/secret.ts'
import { mostVariableBytes, mostVariables } from '../../src/kernel/variables.ts'
import { makePool, type Pool } from '../../src/postgres/index.ts'
import {
  makeFreshness,
  makeKeyRotation,
  makeReleaseVariables,
  makeVars,
  openKeys,
  type Vars,
} from '../../src/vars/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const secretKey = new Secret('vars-test-secret-key-0000000000000000')
let database: TestDatabase
let db: Pool
let vars: Vars
let apps = 0

beforeAll(async () => {
  database = await createTestDatabase()
  db = makePool(database.connection, { logger: silentLogger, size: 5 })
  vars = makeVars({ db, keys: await openKeys(db, secretKey), masks: { add: () => Promise.resolve() } })
})
afterAll(async () => {
  await db.close()
  await database.drop()
})

/** Ids of `test` and `live` of a new app. */
async function newApp(): Promise<{ test: number; live: number }> {
  apps += 1
  const environments = makeEnvironments({ db })
  await environments.createApp(`shop${apps}`)
  const ids = await Promise.all(['test', 'live'].map(async (name) => (await environments.get(`shop${apps}`, name)).id))
  return { test: ids[0] ?? 0, live: ids[1] ?? 0 }
}

const set = (values: Record<string, string>, flags: { secret?: boolean; build?: boolean } = {}) => ({
  set: Object.entries(values).map(([name, value]) => ({ name, value, ...flags })),
  unset: [] as { name: string }[],
})

const based = (values: Record<string, string>, ifVersion: number | null) => ({
  set: set(values).set.map((each) => ({ ...each, ifVersion })),
  unset: [],
})

/** Everything the database holds of variables, as one would find it in a dump. */
async function dump(): Promise<string> {
  const rows = await db.query('select v::text from variables v union all select k::text from sealing_key_wraps k')
  const events = await db.query(`select data::text from events where kind = 'vars.changed'`)
  return JSON.stringify([rows, events])
}

describe('values', () => {
  it('come back byte for byte, whatever they hold', async () => {
    const { test } = await newApp()
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom('', '\n', '$A', '"\'`\\', '\ufeffx', ' a '),
    )
    await fc.assert(
      fc.asyncProperty(text, async (value) => {
        fc.pre(!value.includes('\u0000') && value.isWellFormed())
        await vars.change(test, set({ ANY: value }), 'ada')
        expect((await vars.get(test, 'ANY')).value).toBe(value)
      }),
      { numRuns: 60 },
    )
    const largest = 'é'.repeat(32 * 1024)
    await vars.change(test, set({ ANY: largest }), 'ada')
    expect((await vars.get(test, 'ANY')).value).toBe(largest)
  })

  it('stand nowhere in the database as they are, nor do their plain hashes', async () => {
    const { test } = await newApp()
    const value = 'a-value-that-nobody-may-find'
    await vars.change(test, set({ PLAIN: value }), 'ada')
    await vars.change(test, set({ HIDDEN: value }, { secret: true }), 'ada')
    const all = await dump()
    expect(all).toContain('PLAIN')
    for (const form of [value, Buffer.from(value).toString('hex'), Buffer.from(value).toString('base64')])
      expect(all).not.toContain(form)
  })

  it('do not open in another row', async () => {
    const { test, live } = await newApp()
    await vars.change(test, set({ A: 'of test', B: 'other' }), 'ada')
    await vars.change(live, set({ A: 'of live' }), 'ada')
    await db.query(
      `update variables v set sealed = o.sealed from variables o where v.environment_id = $1 and o.environment_id = $2 and v.name = 'A' and o.name = 'A'`,
      [test, live],
    )
    await expect(vars.get(test, 'A')).rejects.toMatchObject({ code: 'internal' })
    expect((await vars.get(test, 'B')).value).toBe('other')
    await vars.change(test, set({ A: 'set anew' }), 'ada')
    expect((await vars.get(test, 'A')).value).toBe('set anew')
  })
})

describe('a change', () => {
  it('takes every name that POSIX has', async () => {
    const { test } = await newApp()
    const names = ['__proto__', '_', 'constructor', 'a', 'Z9', 'x'.repeat(128)]
    const change = { set: names.map((name) => ({ name, value: `of ${name}` })), unset: [] }
    expect((await vars.change(test, change, 'ada')).set).toEqual(names)
    for (const name of names) expect((await vars.get(test, name)).value).toBe(`of ${name}`)
  })

  it('says what it changed, counts versions, and leaves what is the same', async () => {
    const { test } = await newApp()
    const first = await vars.change(test, set({ A: '1', B: '2' }), 'ada')
    expect(first).toEqual({ version: 1, set: ['A', 'B'], unset: [] })
    expect(await vars.change(test, set({ A: '1' }), 'bob')).toEqual({ version: 1, set: [], unset: [] })
    const second = await vars.change(test, { ...set({ A: '1', C: '3' }), unset: [{ name: 'B' }] }, 'bob')
    expect(second).toEqual({ version: 2, set: ['C'], unset: ['B'] })
    const { version, variables } = await vars.list(test)
    expect(version).toBe(2)
    expect(variables.map((v) => [v.name, v.version, v.changedBy])).toEqual([
      ['A', 1, 'ada'],
      ['C', 2, 'bob'],
    ])
    expect(JSON.stringify(variables)).not.toContain('sealed')
  })

  it('keeps flags that it does not name, and tells of a change by name only', async () => {
    const { test } = await newApp()
    await vars.change(test, set({ KEY: 'value-one' }, { secret: true, build: false }), 'ada')
    await vars.change(test, set({ KEY: 'value-two' }), 'ada')
    expect((await vars.list(test)).variables[0]).toMatchObject({ secret: true, build: false })
    await expect(vars.get(test, 'KEY')).rejects.toMatchObject({ code: 'not_allowed', hint: /slipway vars set KEY/ })
    expect((await vars.listValues(test)).variables[0]?.value).toBeNull()
    const events = await db.query<{ actor: string; data: unknown }>(
      `select actor, data from events where kind = 'vars.changed' and environment_id = $1 order by id`,
      [test],
    )
    expect(events).toEqual([
      { actor: 'ada', data: { set: ['KEY'], unset: [] } },
      { actor: 'ada', data: { set: ['KEY'], unset: [] } },
    ])
  })

  it('is one, too, when only a flag of the same value changes', async () => {
    const { test } = await newApp()
    await vars.change(test, set({ A: '1' }), 'ada')
    expect((await vars.change(test, set({ A: '1' }, { secret: false, build: true }), 'ada')).set).toEqual(['A'])
    expect((await vars.change(test, set({ A: '1' }, { secret: true, build: true }), 'ada')).set).toEqual(['A'])
    expect((await vars.list(test)).variables[0]).toMatchObject({ secret: true, build: true, version: 3 })
  })

  it('is all or nothing', async () => {
    const { test } = await newApp()
    await vars.change(test, set({ A: '1' }), 'ada')
    const cases: [string, unknown][] = [
      ['bad_request', set({ B: '2', '1X': 'x' })],
      ['bad_request', set({ B: '2', 'A-B': 'x' })],
      ['bad_request', set({ B: '2', Ä: 'x' })],
      ['bad_request', set({ B: '2', '': 'x' })],
      ['bad_request', set({ B: 'nul\u0000' })],
      ['bad_request', set({ B: '\ud800' })],
      ['bad_request', set({ B: '2', PORT: '80 80' })],
      ['too_large', set({ B: 'x'.repeat(1024 * 1024) })],
      ['not_found', { ...set({ B: '2' }), unset: [{ name: 'NOT_THERE' }] }],
      ['bad_request', { ...set({ A: '2' }), unset: [{ name: 'A' }] }],
    ]
    for (const [code, change] of cases)
      await expect(vars.change(test, change as never, 'ada')).rejects.toMatchObject({ code })
    expect((await vars.listValues(test)).variables.map((v) => [v.name, v.value])).toEqual([['A', '1']])
    await expect(vars.change(test, set({ B: 'x'.repeat(1024 * 1024) }), 'ada')).rejects.toThrow(
      'The value of B has 1024 KB; the most is 64 KB.',
    )
  })

  it('is refused when all of them together would be too many or too much', async () => {
    const { test } = await newApp()
    const numbered = (count: number, value: string) =>
      set(Object.fromEntries(Array.from({ length: count }, (_, i) => [`V${i}`, value])))
    await vars.change(test, numbered(mostVariables, ''), 'ada')
    await expect(vars.change(test, set({ MORE: '' }), 'ada')).rejects.toMatchObject({ code: 'too_large' })
    await vars.change(test, { ...set({ MORE: '' }), unset: [{ name: 'V0' }] }, 'ada')
    const { live } = await newApp()
    const value = 'x'.repeat(60 * 1024)
    await expect(
      vars.change(live, numbered(Math.ceil(mostVariableBytes / value.length) + 1, value), 'ada'),
    ).rejects.toThrow(/ KB together; the most is 512 KB/)
    // From a time when more was allowed: it can be made less step by step.
    await vars.change(live, set({ A: '1', B: '2', C: '3' }), 'ada')
    await db.query('update variables set bytes = $2 where environment_id = $1', [live, mostVariableBytes])
    await expect(vars.change(live, set({ A: '2' }), 'ada')).rejects.toMatchObject({ code: 'too_large' })
    expect((await vars.change(live, { set: [], unset: [{ name: 'A' }] }, 'ada')).unset).toEqual(['A'])
  })
})

describe('two at once', () => {
  it('one of them is told that it was slower, and the other’s stays', async () => {
    const { test } = await newApp()
    await vars.change(test, set({ A: 'old', B: 'old' }), 'ada')
    const both = await Promise.allSettled([
      vars.change(test, based({ A: 'of ada' }, 1), 'ada'),
      vars.change(test, based({ A: 'of bob' }, 1), 'bob'),
      vars.change(test, based({ B: 'of eve' }, 1), 'eve'),
    ])
    const failed = both.filter((each) => each.status === 'rejected')
    expect(failed).toHaveLength(1)
    expect(failed[0]?.reason).toMatchObject({
      code: 'conflict',
      message: /^A was changed by (ada|bob) at .* meanwhile/,
    })
    const { variables } = await vars.listValues(test)
    expect(variables.find((v) => v.name === 'B')?.value).toBe('of eve')
    expect(['of ada', 'of bob']).toContain(variables.find((v) => v.name === 'A')?.value)
  })

  it('knows what is new and what is gone, and takes a version for all', async () => {
    const { test } = await newApp()
    await vars.change(test, { ...based({ A: '1' }, null), ifVersion: 0 }, 'ada')
    await expect(vars.change(test, based({ A: '2' }, null), 'bob')).rejects.toMatchObject({
      code: 'conflict',
    })
    await expect(vars.change(test, { ...set({ B: '2' }), ifVersion: 0 }, 'bob')).rejects.toThrow(/at version 1, not 0/)
    await vars.change(test, { set: [], unset: [{ name: 'A', ifVersion: 1 }] }, 'ada')
    await expect(vars.change(test, based({ A: '2' }, 1), 'bob')).rejects.toThrow(/^A was unset meanwhile/)
  })
})

describe('a copy', () => {
  it('has the same values, flags and marks, sealed for its own place', async () => {
    const { test, live } = await newApp()
    await vars.change(test, set({ A: 'plain\nvalue' }), 'ada')
    await vars.change(test, set({ B: 'hidden-value' }, { secret: true, build: true }), 'bob')
    await db.transaction((tx) => vars.copyVariables(tx, { from: test, to: live }))
    const copied = (await vars.listValues(live)).variables
    expect(copied.map((v) => [v.name, v.value, v.secret, v.build, v.changedBy])).toEqual([
      ['A', 'plain\nvalue', false, false, 'ada'],
      ['B', null, true, true, 'bob'],
    ])
    const marks = await db.query('select distinct name, mark from variables where environment_id = any($1)', [
      [test, live],
    ])
    expect(marks).toHaveLength(2)
  })
})

describe('an environment that is based on another', () => {
  it('begins with its variables', async () => {
    const { test } = await newApp()
    await vars.change(test, set({ A: 'of test' }), 'ada')
    const environments = makeEnvironments({ db, copyVariables: vars.copyVariables })
    const added = await environments.add(`shop${apps}`, { name: 'qa', from: 'test' })
    expect((await vars.get(added.id, 'A')).value).toBe('of test')
    await vars.change(added.id, set({ A: 'of qa' }), 'ada')
    expect((await vars.get(test, 'A')).value).toBe('of test')
  })
})

describe('the secret key', () => {
  it('that is wrong is told, and nothing is changed', async () => {
    const before = await dump()
    await expect(openKeys(db, new Secret('another-secret-key-00000000000000000'))).rejects.toMatchObject({
      code: 'bad_request',
      message: /not the one .* Nothing was changed/,
    })
    expect(await dump()).toBe(before)
    const { test } = await newApp()
    await vars.change(test, set({ A: '1' }), 'ada')
    const again = makeVars({ db, keys: await openKeys(db, secretKey), masks: { add: () => Promise.resolve() } })
    expect((await again.get(test, 'A')).value).toBe('1')
  })
})

describe('another key', () => {
  const never = new AbortController().signal
  const masks = { add: () => Promise.resolve() }
  const keysThere = async () => (await db.query(`select id from sealing_keys where purpose = 'values'`)).length
  const wrappers = async () => (await db.query('select distinct wrapper from sealing_key_wraps')).length

  async function open(with_: Secret) {
    const keys = await openKeys(db, with_)
    const kept: Secret[] = []
    const rotation = makeKeyRotation({
      ...{ db, keys, logger: silentLogger, closing: never },
      keepSecretKey: async (key) => void kept.push(key),
    })
    const releases = makeReleaseVariables({ db, keys, masks, freshness: makeFreshness() })
    return { rotation, releases, vars: makeVars({ db, keys, masks }), kept: () => kept.at(-1)?.reveal() }
  }

  async function newRelease(environmentId: number, server: Awaited<ReturnType<typeof open>>): Promise<number> {
    const [build] = await db.query<{ id: number }>(
      `insert into builds (app_id, number, commit, key, config, state)
       select app_id, 1, 'c', 'k', '{}', 'failed' from environments where id = $1 returning id`,
      [environmentId],
    )
    const [release] = await db.query<{ id: number }>(
      'insert into releases (environment_id, number, build_id) values ($1, 1, $2) returning id',
      [environmentId, build?.id],
    )
    const id = release?.id ?? 0
    await db.transaction(async (tx) => server.releases.keep(tx, id, await server.releases.read(tx, environmentId)))
    return id
  }

  it('seals everything anew while variables are changed, and forgets the old one; marks stay', async () => {
    const server = await open(secretKey)
    const { test, live } = await newApp()
    const values = Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`V${i}`, `value ${i}`]))
    await server.vars.change(test, set(values), 'ada')
    const release = await newRelease(test, server)
    const stored = (column: 'mark' | 'sealed') =>
      db.query(`select name, ${column} from variables where environment_id = $1 order by name`, [test])
    const before = { marks: await stored('mark'), sealed: await stored('sealed') }
    await server.rotation.begin('ada')
    for (let i = 0; i < 20; i += 1) await server.vars.change(live, set({ BUSY: `change ${i}` }), 'bob')
    await server.rotation.run(never)
    expect([await server.rotation.countLeft(), await keysThere()]).toEqual([0, 1])
    expect(await stored('mark')).toEqual(before.marks)
    expect(await stored('sealed')).not.toEqual(before.sealed)
    for (const opened of [server, await open(secretKey)]) {
      const found = (await opened.vars.listValues(test)).variables
      expect(Object.fromEntries(found.map((v) => [v.name, v.value]))).toEqual(values)
      expect((await opened.vars.get(live, 'BUSY')).value).toBe('change 19')
      expect((await opened.releases.ofRelease(release)).values['V249']?.reveal()).toBe('value 249')
    }
  })

  it('is gone on with after the server was killed in its middle', async () => {
    const server = await open(secretKey)
    const { test } = await newApp()
    await server.vars.change(test, set({ A: 'of a' }), 'ada')
    // The key is made, and nothing more.
    await (await openKeys(db, secretKey)).renew({ inTransaction: async () => undefined })
    const next = await open(secretKey)
    expect(await next.rotation.countLeft()).toBeGreaterThan(0)
    expect((await next.vars.get(test, 'A')).value).toBe('of a')
    await next.rotation.run(never)
    expect([await next.rotation.countLeft(), await keysThere()]).toEqual([0, 1])
    expect((await (await open(secretKey)).vars.get(test, 'A')).value).toBe('of a')
  })

  it('can be the secret key itself: both open until the first start with the new one', async () => {
    const second = new Secret('second-secret-key-00000000000000000000')
    const third = new Secret('third-secret-key-000000000000000000000')
    const server = await open(secretKey)
    const { test } = await newApp()
    await server.vars.change(test, set({ A: 'of a' }), 'ada')
    // One that nobody comes with is taken back by the next.
    await server.rotation.begin('ada', third)
    await server.rotation.begin('ada', second)
    await server.rotation.run(never)
    expect([server.kept(), await wrappers()]).toEqual([second.reveal(), 2])
    await expect(openKeys(db, third)).rejects.toMatchObject({ code: 'bad_request' })
    expect((await (await open(secretKey)).vars.get(test, 'A')).value).toBe('of a')
    const next = await open(second)
    expect((await next.vars.get(test, 'A')).value).toBe('of a')
    expect(await wrappers()).toBe(1)
    await expect(openKeys(db, secretKey)).rejects.toMatchObject({ code: 'bad_request' })
    // What is derived stays: nobody is signed out of an app.
    expect((await openKeys(db, second)).derivation.reveal()).toBe(secretKey.reveal())
  })
})
