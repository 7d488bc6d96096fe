import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { readReleaseSpec } from '../../src/deploys/release-spec.ts'
import { SlipwayError } from '../../src/kernel/errors.ts'
import { Secret } from '../../src/kernel/secret.ts'
import type { PromotionPlan, Promotions } from '../../src/promotions/index.ts'
import { makeMoves } from '../support/releases-of-spine.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine
let promotions: Promotions
beforeEach(async () => {
  spine = await makeSpine()
  promotions = makeMoves(spine).promotions
})
afterEach(() => spine.close())

type Name = 'test' | 'live'
interface Wish {
  readonly from?: Name
  readonly to?: Name
  readonly release?: number
  readonly anyway?: boolean
  readonly rebuild?: boolean
}

async function goLive(name: Name, letter: string): Promise<number> {
  const id = await spine.deploy(name, commitOf(letter))
  await spine.log(id)
  expect((await spine.deploys.get(id)).state).toBe('live')
  return id
}
async function set(environment: Name, name: string, value: string, build = false): Promise<void> {
  const { id } = await spine.environment(environment)
  await spine.vars.change(id, { set: [{ name, value, build }], unset: [] }, 'ada')
}
const plan = async ({ from = 'test', to = 'live', release }: Wish = {}): Promise<PromotionPlan> =>
  promotions.plan(await spine.environment(to), { from: await spine.environment(from), release: release ?? null })
async function promote({ from = 'test', to = 'live', ...wish }: Wish = {}): Promise<number> {
  const [target, source] = [await spine.environment(to), await spine.environment(from)]
  const { release = null, anyway = false, rebuild = false } = wish
  return (await promotions.begin(target, { from: source, release, anyway, rebuild, by: 'ada' })).deployId
}
async function envOf(deployId: number): Promise<Record<string, string>> {
  const spec = await readReleaseSpec(await spine.deploys.get(deployId), spine.tools)
  const { env } = spec.instance({ process: 'web', position: 1, address: null })
  return Object.fromEntries(Object.entries(env).map(([n, v]) => [n, v instanceof Secret ? v.reveal() : v]))
}

describe('a promotion', () => {
  it('takes the same image with the variables of its target, and shows first what will change', async () => {
    await set('test', 'GREETING', 'of test')
    await set('live', 'GREETING', 'of live')
    await goLive('live', 'a')
    await set('live', 'ADDED', 'since')
    const command = (label: string, on: ('deploy' | 'promote')[]) => ({ label, run: 'true', on, timeoutMs: 5_000 })
    spine.config = {
      ...spine.config,
      releaseCommands: [command('migrations', ['promote']), command('seed', ['deploy'])],
    }
    const built = await goLive('test', 'b')
    expect(await plan()).toMatchObject({
      source: { number: 1, commit: commitOf('b') },
      comparison: {
        from: { number: 1, commit: commitOf('a') },
        to: { number: 1, commit: commitOf('b') },
        variables: { added: ['ADDED'], removed: [], changed: [] },
      },
      buildVariables: [],
      commands: ['migrations'],
      endsHold: false,
    })
    const id = await promote({ release: 1 })
    const log = await spine.log(id)
    expect(log).toContain('step: Taking the image of test v1; nothing is built')
    expect(log).toContain('detail: migrations: true')
    expect(log.at(-1)).toMatch(/environment=live release=v2 status=live/)
    expect((await spine.deploys.get(id)).buildId).toBe((await spine.deploys.get(built)).buildId)
    expect(await envOf(id)).toMatchObject({ GREETING: 'of live', ADDED: 'since', GIT_BRANCH: 'main', STAGE: 'live' })
  })

  it('is the first of an environment that serves nothing, and ends the hold on pushes', async () => {
    await goLive('test', 'a')
    const { id } = await spine.environment('live')
    await spine.db.query('update environments set held = true where id = $1', [id])
    expect(await plan()).toMatchObject({ comparison: null, endsHold: true })
    expect((await spine.log(await promote())).at(-1)).toMatch(/environment=live release=v1 status=live/)
    expect((await spine.environment('live')).held).toBe(false)
  })

  it('stops where the image was built with other variables, and names them', async () => {
    await set('test', 'API_URL', 'https://test', true)
    await set('live', 'API_URL', 'https://live', true)
    await set('test', 'ONLY_TEST', 'x', true)
    await set('live', 'SAME', 'x', true)
    await set('test', 'SAME', 'x', true)
    await set('live', 'RUN_ONLY', 'x')
    const built = await goLive('test', 'a')
    expect((await plan()).buildVariables).toEqual(['API_URL', 'ONLY_TEST'])
    await expect(promote()).rejects.toMatchObject({
      code: 'conflict',
      message:
        'The image that test serves was built with other values for the build than live has: API_URL, ONLY_TEST. Nothing was promoted.',
      hint: 'To take the image as it is: slipway promote test live -a shop --anyway. To build its commit again for live: slipway promote test live -a shop --rebuild',
    })
    expect(await spine.db.query(`select 1 from deploys where kind = 'promotion'`)).toEqual([])

    const anyway = await promote({ anyway: true })
    await spine.log(anyway)
    const { buildId } = await spine.deploys.get(built)
    expect((await spine.deploys.get(anyway)).buildId).toBe(buildId)
    expect(await envOf(anyway)).toMatchObject({ API_URL: 'https://live' })
    // What it was built with is known wherever it goes.
    expect((await plan({ from: 'live', to: 'test' })).buildVariables).toEqual([])

    const rebuilt = await promote({ rebuild: true })
    expect((await spine.log(rebuilt)).at(-1)).toMatch(/status=live/)
    const { buildId: own } = await spine.deploys.get(rebuilt)
    expect(own).not.toBe(buildId)
    expect(spine.builder.args.get(own ?? 0)).toEqual({ API_URL: 'https://live', SAME: 'x' })
    await expect(promote({ anyway: true, rebuild: true })).rejects.toMatchObject({ code: 'bad_request' })
  })

  it('goes one after the other when two are asked for at once, each with what was asked for', async () => {
    await goLive('test', 'a')
    const [first, second] = await Promise.all([promote(), promote()])
    for (const id of [first, second]) expect((await spine.log(id)).at(-1)).toMatch(/status=live/)
    const times = await spine.db.query<{ id: number; startedAt: Date; finishedAt: Date }>(
      `select id, started_at as "startedAt", finished_at as "finishedAt" from deploys
       where kind = 'promotion' order by started_at`,
    )
    expect(times).toHaveLength(2)
    expect(times[1]?.startedAt.getTime()).toBeGreaterThanOrEqual(times[0]?.finishedAt.getTime() ?? Infinity)
    expect(spine.builder.begun).toHaveLength(1)
  })

  it('is not hurt by the end of the environment that it comes from', async () => {
    await goLive('test', 'a')
    const id = await promote()
    await spine.log(id)
    const { id: test } = await spine.environment('test')
    await spine.db.query('delete from routes where environment_id = $1', [test])
    await spine.db.query('delete from environments where id = $1', [test])
    expect((await spine.deploys.get(id)).from).toMatchObject({ releaseId: null, environment: null })
    expect(await envOf(id)).toMatchObject({ STAGE: 'live' })
  })
})

describe('a promotion is refused', () => {
  it('from where nothing was deployed, onto itself, and when another release serves than was shown', async () => {
    await expect(promote()).rejects.toMatchObject({
      code: 'conflict',
      message: 'Nothing was deployed to test of shop yet, so there is nothing to promote.',
    })
    await goLive('test', 'a')
    await expect(promote({ to: 'test' })).rejects.toMatchObject({
      code: 'bad_request',
      message: 'test cannot be promoted to itself.',
    })
    await goLive('test', 'b')
    await expect(promote({ release: 1 })).rejects.toMatchObject({
      code: 'conflict',
      message: 'test serves v2 by now, not v1. Nothing was promoted.',
    })
    expect(await spine.db.query(`select 1 from deploys where kind = 'promotion'`)).toEqual([])
  })

  it('when the image was removed from the engine by hand', async () => {
    const built = await goLive('test', 'a')
    expect((await plan()).refusal).toBeNull()
    await spine.builder.discard((await spine.deploys.get(built)).buildId ?? 0)
    const refusal = {
      code: 'conflict',
      message: 'The image of test v1 is gone: somebody removed it from the engine.',
      hint: 'To build its commit again, with the variables of today: slipway promote test live -a shop --rebuild',
    }
    expect((await plan()).refusal).toMatchObject(refusal)
    await expect(promote()).rejects.toMatchObject(refusal)
    expect((await spine.log(await promote({ rebuild: true }))).at(-1)).toMatch(
      /environment=live release=v1 status=live/,
    )
  })

  it('as it is while the engine does not answer; its commit can be built again when it does', async () => {
    await goLive('test', 'a')
    const has = spine.builder.has.bind(spine.builder)
    const away = new SlipwayError('unavailable', 'The Docker engine does not answer.')
    Object.assign(spine.builder, { has: () => Promise.reject(away) })
    expect(await plan()).toMatchObject({ source: { number: 1 }, refusal: { code: 'unavailable' } })
    await expect(promote()).rejects.toBe(away)
    const rebuilt = await promote({ rebuild: true })
    Object.assign(spine.builder, { has })
    expect((await spine.log(rebuilt)).at(-1)).toMatch(/environment=live release=v1 status=live/)
  })
})
