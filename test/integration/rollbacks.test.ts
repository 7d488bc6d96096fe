import { randomUUID } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import type { RollbackPlan, RollbackWish, Rollbacks } from '../../src/rollbacks/index.ts'
import { chooseImagesToRemove, listKeptImages, listKeptReleases } from '../../src/releases/index.ts'
import { makeHeldBuild } from '../support/held-build.ts'
import { makeMoves } from '../support/releases-of-spine.ts'
import { waitFor } from '../support/slipway.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine
let rollbacks: Rollbacks
beforeEach(async () => {
  spine = await makeSpine()
  rollbacks = makeMoves(spine).rollbacks
})
afterEach(() => spine.close())

const previous: RollbackWish = { release: null, keepVariables: false, hold: true }

async function goLive(letter: string): Promise<void> {
  const id = await spine.deploy('live', commitOf(letter))
  await spine.log(id)
  expect((await spine.deploys.get(id)).state).toBe('live')
}
const plan = async (wish: Partial<RollbackWish> = {}): Promise<RollbackPlan> =>
  rollbacks.plan(await spine.environment('live'), { ...previous, ...wish })
async function goBack(wish: Partial<RollbackWish> = {}): Promise<{ id: number; log: string[] }> {
  const environment = await spine.environment('live')
  const { deployId: id } = await rollbacks.begin(environment, { ...previous, ...wish, by: 'ada' })
  return { id, log: await spine.log(id) }
}
async function set(name: string, value: string | null): Promise<void> {
  const { id } = await spine.environment('live')
  const change = value === null ? { set: [], unset: [{ name }] } : { set: [{ name, value }], unset: [] }
  await spine.vars.change(id, change, 'ada')
}
const letters = async (): Promise<string> => {
  const rows = await spine.db.query<{ letter: string }>(
    `select left(b.commit, 1) as letter from releases r join builds b on b.id = r.build_id order by r.number`,
  )
  return rows.map(({ letter }) => letter).join('')
}

describe('a rollback', () => {
  it('goes to what served before, and the next one further back, never to what was gone back from', async () => {
    for (const letter of 'abc') await goLive(letter)
    expect((await goBack()).log.at(-1)).toMatch(/release=v4 status=live/)
    expect(await letters()).toBe('abcb')
    expect((await plan()).comparison).toMatchObject({ from: { number: 4 }, to: { number: 1 } })
    await goBack()
    expect(await letters()).toBe('abcba')
    await expect(goBack()).rejects.toMatchObject({
      code: 'conflict',
      message: 'live has served nothing before v5 that it could go back to.',
      hint: expect.stringMatching(
        /^To return to what was gone back from: slipway rollback live v4 -a shop\. What there is/,
      ),
    })
    // By its name everything that has served is reached, also forward.
    await goBack({ release: 3 })
    expect(await letters()).toBe('abcbac')
    // What came after it is gone back from as usual.
    await goLive('d')
    expect((await plan()).comparison.to.number).toBe(6)
  })

  it('finds the image of what it goes to, however few are kept', async () => {
    for (const letter of 'abc') await goLive(letter)
    await goBack()
    await waitFor('the others to be retired', 20_000, async () => {
      const { id } = await spine.environment('live')
      return (await spine.deploys.listInstances(id)).length === 1
    })
    const { appId } = await spine.environment('live')
    const images = (await listKeptImages(spine.db, [appId])).map((image) => ({ ...image, awaited: false }))
    const gone = chooseImagesToRemove(images, await listKeptReleases(spine.db, [appId]), 1)
    expect([images.length, gone]).toEqual([3, []])
    await spine.db.query(`update builds set image_removed_at = now() where left(commit, 1) = 'a'`)
    await expect(plan()).rejects.toMatchObject({ code: 'conflict' })
  })

  it('passes over what failed and over what is the same but for its number', async () => {
    await goLive('a')
    await goLive('b')
    spine.config = { ...spine.config, selfTests: ['exit 1'] }
    await spine.log(await spine.deploy('live', commitOf('c')))
    spine.config = { ...spine.config, selfTests: [] }
    const { id } = await spine.environment('live')
    const [served] = await spine.db.query<{ id: number }>(
      'select release_id as id from routes where environment_id = $1',
      [id],
    )
    const again = { from: { releaseId: served?.id ?? 0, variables: 'environment' as const } }
    await spine.log(await spine.request('deploy', 'live', commitOf('b'), again))
    expect(await letters()).toBe('abcb')
    expect((await plan()).comparison).toMatchObject({ from: { number: 4 }, to: { number: 1 } })
    await expect(plan({ release: 3 })).rejects.toMatchObject({
      code: 'conflict',
      message: 'v3 has never served: its deploy did not go live.',
    })
  })

  it('says so when all that has served is the same but for its number', async () => {
    for (const letter of 'aa') await goLive(letter)
    await expect(plan()).rejects.toMatchObject({
      code: 'conflict',
      message:
        'All that live has served before has the image and the variables of v2: going back would change nothing.',
      hint: 'What there is: slipway releases list live -a shop',
    })
  })

  it('goes back to other variables of the same image, unless those of today are kept', async () => {
    await set('GREETING', 'then')
    await goLive('a')
    await set('GREETING', 'now')
    await goLive('a')
    expect((await plan()).comparison).toMatchObject({ to: { number: 1 }, isSameImage: true })
    await expect(plan({ keepVariables: true })).rejects.toMatchObject({
      message: 'All that live has served before has the image of v2: going back would change nothing.',
    })
    // So it is when only the settings of today were applied to what served.
    await set('GREETING', 'later')
    const [serving] = await spine.db.query<{ id: number }>('select release_id as id from routes')
    const reused = { from: { releaseId: serving?.id ?? 0, variables: 'environment' as const } }
    await spine.log(await spine.request('deploy', 'live', commitOf('a'), reused))
    expect((await plan()).comparison).toMatchObject({ from: { number: 3 }, to: { number: 2 } })
  })

  it('lists by name what goes back: variables, configuration, processes; and says which release commands ran since', async () => {
    await set('KEPT', 'x')
    await set('CHANGED', 'then')
    await set('REMOVED_SINCE', 'x')
    await goLive('a')
    await set('CHANGED', 'now')
    await set('REMOVED_SINCE', null)
    await set('ADDED_SINCE', 'x')
    const worker = { name: 'worker', run: 'python worker.py', instances: 1 }
    spine.config = {
      ...spine.config,
      processes: [{ name: 'web', run: null, instances: 1 }, worker],
      releaseCommands: [
        { label: 'migrations', run: 'true', on: ['deploy'], timeoutMs: 5_000 },
        { label: 'seed', run: 'exit 3', on: ['deploy'], timeoutMs: 5_000 },
      ],
    }
    await spine.log(await spine.deploy('live', commitOf('b')))
    spine.config = { ...spine.config, releaseCommands: spine.config.releaseCommands.slice(0, 1) }
    await goLive('c')
    const { comparison, commands, notes } = await plan()
    expect(comparison).toMatchObject({
      from: { number: 3, commit: commitOf('c') },
      to: { number: 1, commit: commitOf('a') },
    })
    expect(comparison.variables).toEqual({ added: ['REMOVED_SINCE'], removed: ['ADDED_SINCE'], changed: ['CHANGED'] })
    expect(comparison.processes.first.map(({ path }) => path)).toContain('worker.run')
    expect(comparison.configuration.first.map(({ path }) => path)).toContain('release.migrations.run')
    expect(commands).toMatchObject({
      total: 3,
      first: [
        { label: 'migrations', release: 3, exitCode: 0 },
        { label: 'migrations', release: 2, exitCode: 0 },
        { label: 'seed', release: 2, exitCode: 3 },
      ],
    })
    expect(notes).toEqual([
      'With the variables of v1; the next deploy of live takes today’s again',
      'Release commands have run since v1, and what they did to the data stays done: migrations (v3), migrations (v2), seed (v2, exit code 3)',
      'Pushes to live are held: they are not deployed until somebody deploys or promotes to it by hand',
      'To deploy on pushes again: slipway envs set live --no-hold -a shop',
    ])
    const kept = await plan({ keepVariables: true, hold: false })
    expect(kept.comparison.variables).toEqual({ added: [], removed: [], changed: [] })
    expect(kept.notes).toHaveLength(1)
    const { log } = await goBack()
    for (const note of notes) expect(log).toContain(`detail: ${note}`)
    // What is shown of a release that came back counts from when it was first there.
    await goLive('d')
    expect((await plan({ release: 4 })).commands.total).toBe(4)
  })

  it('does not count release commands of the same build: they belong to what is gone back to', async () => {
    const migrations = { label: 'migrations', run: 'true', on: ['deploy' as const], timeoutMs: 5_000 }
    spine.config = { ...spine.config, releaseCommands: [migrations] }
    await goLive('a')
    await goLive('b')
    const [first] = await spine.db.query<{ id: number }>('select min(id) as id from releases')
    const again = { from: { releaseId: first?.id ?? 0, variables: 'environment' as const } }
    await spine.log(await spine.request('deploy', 'live', commitOf('a'), again))
    await goLive('c')
    expect((await plan({ release: 1 })).commands).toMatchObject({ total: 2, first: [{ release: 4 }, { release: 2 }] })
  })

  it('counts release commands from when it first served there, not from when it failed or served elsewhere', async () => {
    const migrations = { label: 'migrations', run: 'true', on: ['deploy' as const], timeoutMs: 5_000 }
    spine.config = { ...spine.config, releaseCommands: [migrations] }
    await spine.log(await spine.deploy('test', commitOf('a')))
    spine.answer = 500
    expect((await spine.log(await spine.deploy('live', commitOf('a')))).at(-1)).toMatch(/release=v1 status=failed/)
    spine.answer = 200
    for (const letter of 'bac') await goLive(letter)
    expect((await plan({ release: 3 })).commands).toMatchObject({ total: 1, first: [{ release: 4 }] })
  })

  it('masks the secrets of then in what is printed', async () => {
    const flag = join(tmpdir(), `slipway-flag-${randomUUID()}`)
    const { id } = await spine.environment('live')
    const secret = (value: string) =>
      spine.vars.change(id, { set: [{ name: 'PASSWORD', value, secret: true }], unset: [] }, 'ada')
    await secret('the-one-of-then')
    spine.config = { ...spine.config, selfTests: [`test ! -e ${flag} || { echo it is the-one-of-then; exit 1; }`] }
    await goLive('a')
    await secret('the-one-of-today')
    await goLive('b')
    await writeFile(flag, '')
    const log = (await goBack()).log.join('\n')
    await rm(flag)
    expect(log).toContain('it is [masked]')
    expect(log).not.toContain('the-one-of-then')
  })

  it('holds pushes from when it is asked for; a promotion or a deploy by hand ends that', async () => {
    await goLive('a')
    await goLive('b')
    await goBack()
    expect((await spine.environment('live')).held).toBe(true)
    await goLive('c')
    expect((await spine.environment('live')).held).toBe(false)
    await goBack({ hold: false })
    expect((await spine.environment('live')).held).toBe(false)
  })

  it('comes first in the line while a deploy runs, and starts an environment that is stopped', async () => {
    await goLive('a')
    await goLive('b')
    const held = makeHeldBuild()
    spine.onBuild = held.hook
    const running = await spine.deploy('live', commitOf('c'))
    await held.reached
    const waiting = await spine.deploy('live', commitOf('d'))
    const environment = await spine.environment('live')
    const { deployId, ahead } = await rollbacks.begin(environment, { ...previous, by: 'ada' })
    expect(ahead).toBe(1)
    held.open()
    spine.onBuild = async () => undefined
    for (const id of [running, deployId, waiting]) await spine.log(id)
    expect(await letters()).toBe('abcad')

    await spine.deploys.stopServing(environment.id, 'ada')
    const { log } = await goBack()
    expect(log).toContain('detail: live is stopped: it serves again when this deploy is live')
    expect(log.at(-1)).toMatch(/status=live/)
    expect((await spine.environment('live')).state).toBe('active')
  })
})

describe('a rollback is refused', () => {
  it('where nothing was deployed, where there is one release, and to what serves or is not there', async () => {
    await expect(goBack()).rejects.toMatchObject({
      code: 'conflict',
      message: 'Nothing was deployed to live of shop yet, so there is nothing to go back to.',
    })
    await goLive('a')
    await expect(goBack()).rejects.toMatchObject({
      code: 'conflict',
      message: 'live has served nothing before v1 that it could go back to.',
      hint: 'What there is: slipway releases list live -a shop',
    })
    await expect(goBack({ release: 1 })).rejects.toMatchObject({ code: 'conflict', message: 'v1 is what live serves.' })
    await expect(goBack({ release: 99 })).rejects.toMatchObject({
      code: 'not_found',
      message: 'live has no release v99.',
    })
    expect(await spine.db.query(`select 1 from deploys where kind = 'rollback'`)).toEqual([])
    expect((await spine.environment('live')).held).toBe(false)
  })

  it('when its image is gone, with the reason, the way to build it again, and an older one that is kept', async () => {
    for (const letter of 'abc') await goLive(letter)
    const builds = await spine.db.query<{ id: number }>('select id from builds order by id')
    await spine.builder.discard(builds[1]?.id ?? 0)
    const refused = await goBack().catch((error: unknown) => error)
    expect(refused).toMatchObject({
      code: 'conflict',
      message: 'The image of v2 is gone: somebody removed it from the engine.',
      hint: 'To build its commit again, with the variables of today: slipway releases rebuild v2 live -a shop. The one before it can be gone back to: slipway rollback live v1 -a shop',
    })
    await spine.db.query('update builds set image_removed_at = now() where id = $1', [builds[0]?.id])
    // One that is not kept is not offered.
    await expect(plan()).rejects.toMatchObject({ hint: expect.not.stringContaining('The one before it') })
    await expect(plan({ release: 1 })).rejects.toMatchObject({
      message: 'The image of v1 is gone: it was too old to be kept (SLIPWAY_KEEP_RELEASES says how many are).',
      hint: 'To build its commit again, with the variables of today: slipway releases rebuild v1 live -a shop',
    })
  })

  it('while the environment is being removed', async () => {
    await goLive('a')
    await goLive('b')
    const environment = await spine.environment('live')
    await spine.db.query(`update environments set state = 'removing' where id = $1`, [environment.id])
    await expect(rollbacks.begin(environment, { ...previous, by: 'ada' })).rejects.toMatchObject({ code: 'conflict' })
  })
})

describe('with 10,000 releases', () => {
  it('finds the one to go back to by index', async () => {
    await goLive('a')
    await goLive('b')
    const { id } = await spine.environment('live')
    await spine.db.query(
      `insert into releases (environment_id, number, build_id) select $1, n, (select min(id) from builds) from generate_series(3, 10000) n`,
      [id],
    )
    await spine.db.query(
      `insert into deploys (environment_id, kind, commit, requested_by, state, finished_at, build_id, release_id)
       select $1, 'deploy', $2, 'ada', 'failed', now(), r.build_id, r.id from releases r where r.number > 2`,
      [id, commitOf('a')],
    )
    await spine.db.query(
      `insert into releases (environment_id, number, build_id) select $1, 10001, (select max(id) from builds)`,
      [id],
    )
    await spine.db.query(
      `update routes set release_id = (select id from releases where number = 10001) where environment_id = $1`,
      [id],
    )
    await spine.db.query('analyze releases, deploys')
    const took: number[] = []
    for (let i = 0; i < 3; i += 1) {
      const startedMs = performance.now()
      expect((await plan()).comparison.to.number).toBe(1)
      took.push(performance.now() - startedMs)
    }
    expect(Math.min(...took)).toBeLessThan(1_000)
  })
})
