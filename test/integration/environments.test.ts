import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { makeEnvironments } from '../../src/environments/index.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makePool, type Pool } from '../../src/postgres/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
let db: Pool

beforeAll(async () => {
  database = await createTestDatabase()
  db = makePool(database.connection, { logger: silentLogger, size: 5 })
})
afterAll(async () => {
  await db.close()
  await database.drop()
})

describe('a new app', () => {
  it('cannot take an address that Slipway needs itself, and leaves nothing when it is refused', async () => {
    const environments = makeEnvironments({ db, isReserved: (label) => label === 'deploy' })
    await expect(environments.createApp('deploy')).rejects.toMatchObject({ code: 'conflict' })
    expect(await environments.findApp('deploy')).toBeNull()
    expect((await environments.createApp('deploys')).name).toBe('deploys')
  })

  it('is made once when two ask at the same time', async () => {
    const environments = makeEnvironments({ db })
    const both = await Promise.all([environments.ensureApp('twice'), environments.ensureApp('twice')])
    expect(both.map(({ created }) => created).sort()).toEqual([false, true])
    expect((await environments.list('twice')).map(({ name, live }) => [name, live])).toEqual([
      ['test', false],
      ['live', true],
    ])
  })
})

const events = (kind: string) =>
  db.query<{ actor: string | null; data: Record<string, unknown> }>(
    'select actor, data from events where kind = $1 order by id',
    [kind],
  )

describe('the environments of an app', () => {
  it('are those that were named: the first deploys on push, the last is live and guarded', async () => {
    const environments = makeEnvironments({ db })
    await environments.createApp('stages', { by: 'ada', environments: ['development', 'staging', 'production'] })
    const told = (await environments.list('stages')).map((e) => [
      e.name,
      e.label,
      e.live,
      e.deployOnPush,
      e.allowForcedPush,
    ])
    expect(told).toEqual([
      ['development', 'development--stages', false, true, true],
      ['staging', 'staging--stages', false, false, true],
      ['production', 'stages', true, false, false],
    ])
    const [made] = (await events('app.created')).filter(({ data }) => data['app'] === 'stages')
    expect(made?.actor).toBe('ada')
    expect(made?.data).toEqual({ app: 'stages', environments: ['development', 'staging', 'production'] })
  })

  it.each([
    [[], 'starts with 1 to 10'],
    [['a', 'a'], 'named twice'],
    [['ok', 'No'], 'cannot be the name'],
    [Array.from({ length: 11 }, (_, i) => `e${i}`), 'starts with 1 to 10'],
  ])('are refused when they cannot be: %j', async (names, says) => {
    const environments = makeEnvironments({ db })
    await expect(environments.createApp('refused', { environments: names })).rejects.toMatchObject({
      code: 'bad_request',
      message: expect.stringContaining(says) as unknown,
    })
    expect(await environments.findApp('refused')).toBeNull()
  })

  it('can be added, from scratch or like another one', async () => {
    const environments = makeEnvironments({ db })
    await environments.createApp('grows')
    await environments.change('grows', 'live', { branch: 'stable', supersede: 'running' }, { by: 'ada' })
    expect(await environments.add('grows', { name: 'qa' })).toMatchObject({
      ...{ label: 'qa--grows', live: false, branch: null, deployOnPush: true, allowForcedPush: true, state: 'active' },
    })
    expect(await environments.add('grows', { name: 'next', branch: 'next', deployOnPush: false })).toMatchObject({
      ...{ branch: 'next', deployOnPush: false },
    })
    expect(await environments.add('grows', { name: 'staging', from: 'live', by: 'ada' })).toMatchObject({
      ...{
        live: false,
        branch: 'stable',
        deployOnPush: true,
        allowForcedPush: false,
        supersede: 'running',
        held: false,
      },
    })
    expect(await environments.add('grows', { name: 'quiet', from: 'test', branch: null })).toMatchObject({
      branch: null,
    })
    expect((await environments.list('grows')).map((e) => e.name)).toEqual([
      ...['test', 'qa', 'next', 'staging', 'quiet', 'live'],
    ])
    expect((await events('environment.added')).map(({ data }) => data).at(-2)).toEqual({
      ...{ environment: 'staging', branch: 'stable', deployOnPush: true, from: 'live' },
    })
  })

  it.each([
    ['taken', 'qa', 'conflict'],
    ['taken', 'live', 'conflict'],
    ['reserved', 'www', 'bad_request'],
    ['too long', 'a'.repeat(21), 'bad_request'],
    ['a release’s', 'v12', 'bad_request'],
    ['a look-alike: Cyrillic', 'l\u0456ve', 'bad_request'],
    ['a look-alike: full width', '\uff54est', 'bad_request'],
    ['a look-alike: upper case', 'Live', 'bad_request'],
    ['a look-alike: an invisible sign', 'live\u200b', 'bad_request'],
    ['two words', 'q a', 'bad_request'],
    ['two hyphens', 'a--b', 'bad_request'],
    ['a path', '../x', 'bad_request'],
    ['nothing', '', 'bad_request'],
  ])('are not added under a name that is %s', async (_, name, code) => {
    const environments = makeEnvironments({ db })
    const before = await environments.list('grows')
    await expect(environments.add('grows', { name })).rejects.toMatchObject({ code })
    expect(await environments.list('grows')).toEqual(before)
  })

  it('are added once when two ask at the same time, and not where Slipway itself is', async () => {
    const environments = makeEnvironments({ db, isReserved: (label) => label === 'control--grows' })
    const both = await Promise.allSettled([1, 2].map(() => environments.add('grows', { name: 'both' })))
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    await expect(environments.add('grows', { name: 'control' })).rejects.toMatchObject({ code: 'conflict' })
    await expect(environments.add('grows', { name: 'x', from: 'nothing' })).rejects.toMatchObject({ code: 'not_found' })
    await expect(environments.add('grows', { name: 'x', branch: '--upload' })).rejects.toMatchObject({
      ...{ code: 'bad_request' },
    })
  })
})

describe('two who change one thing at once', () => {
  it('lose nothing: each changes what he named, and the one who had seen an older version is told', async () => {
    const environments = makeEnvironments({ db })
    await environments.createApp('shared')
    await Promise.all([
      environments.change('shared', 'test', { branch: 'dev' }),
      environments.change('shared', 'test', { supersede: 'running' }),
    ])
    const seen = await environments.get('shared', 'test')
    expect(seen).toMatchObject({ branch: 'dev', supersede: 'running', version: 3 })
    const answers = await Promise.allSettled([
      environments.change('shared', 'test', { branch: 'one' }, { ifVersion: 3, by: 'ada' }),
      environments.change('shared', 'test', { branch: 'two' }, { ifVersion: 3, by: 'bob' }),
    ])
    const refused = answers.find(({ status }) => status === 'rejected') as PromiseRejectedResult
    expect(refused.reason).toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('version 4 now, not 3') as unknown,
    })
    const now = await environments.get('shared', 'test')
    expect(now).toMatchObject({ version: 4, supersede: 'running' })
    const [last] = (await events('environment.changed')).slice(-1)
    expect(last?.actor).toBe(now.branch === 'one' ? 'ada' : 'bob')
    expect(last?.data).toEqual({
      environment: 'test',
      change: { branch: now.branch, deployOnPush: true },
      before: { branch: 'dev', deployOnPush: true },
    })
  })
})

it('counts releases on from those of an earlier app of the same name', async () => {
  const environments = makeEnvironments({ db })
  await db.query(`insert into numbers_of_removed_apps values ('again', 'test', 7), ('other', 'test', 9)`)
  const { id } = await environments.createApp('again')
  expect(await db.query('select environment_name, last_number from release_numbers where app_id = $1', [id])).toEqual([
    { environment_name: 'test', last_number: 7 },
  ])
  expect(await db.query('select app from numbers_of_removed_apps')).toEqual([{ app: 'other' }])
})
