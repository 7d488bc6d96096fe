import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { type DeployPlans, makeDeployPlans } from '../../src/deploy-plans/index.ts'
import { makeReleases } from '../../src/releases/index.ts'
import { tryHoldImage } from '../../src/builds/index.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine
let plans: DeployPlans

beforeEach(async () => {
  spine = await makeSpine()
  const { variables, builds } = spine.tools
  if (variables === undefined) throw new Error('the spine has variables')
  const releases = makeReleases({ db: spine.db, tryHoldImage })
  plans = makeDeployPlans({ db: spine.db, builds, releases, vars: spine.vars, variables })
})
afterEach(() => spine.close())

const plan = async (name: 'test' | 'live', commit: string | null, forceRebuild = false) =>
  plans.plan(await spine.environment(name), { commit: commit === null ? null : commitOf(commit), forceRebuild })
async function set(name: 'test' | 'live', variable: { name: string; value: string; build?: boolean }): Promise<void> {
  await spine.vars.change((await spine.environment(name)).id, { set: [variable], unset: [] }, 'ada')
}
const counts = async () =>
  spine.db.query(
    'select (select count(*) from deploys) as d, (select count(*) from builds) as b, (select count(*) from releases) as r',
  )

describe('the plan of a deploy', () => {
  it('says what is built or taken and what changes, and does nothing', async () => {
    expect(await plan('test', 'a')).toMatchObject({
      current: null,
      image: null,
      instances: [{ process: 'web', instances: 1 }],
    })
    await spine.log(await spine.deploy('test', commitOf('a')))
    await set('test', { name: 'GREETING', value: 'hello' })
    const command = (label: string, on: ('deploy' | 'promote')[]) => ({ label, run: 'true', on, timeoutMs: 5_000 })
    const commands = [
      command('migrations', ['deploy', 'promote']),
      command('seed', ['deploy']),
      command('warm', ['promote']),
    ]
    spine.config = { ...spine.config, releaseCommands: commands }
    const before = await counts()
    expect(await plan('test', 'a')).toMatchObject({
      current: { number: 1 },
      image: { build: 1, release: 1, environment: 'test' },
      variables: { added: ['GREETING'], removed: [], changed: [] },
      buildVariables: [],
      commands: ['migrations', 'seed'],
    })
    expect(await plan('live', 'a')).toMatchObject({ current: null, image: { build: 1, environment: 'test' } })
    expect(await plan('test', 'b')).toMatchObject({ image: null })
    expect(await plan('test', 'a', true)).toMatchObject({ image: null })
    spine.builder.images.clear()
    expect(await plan('test', 'a')).toMatchObject({ image: null })
    expect(await counts()).toEqual(before)
  })

  it('throws what would end the deploy before anything is built', async () => {
    const { id } = await spine.environment('test')
    await spine.vars.change(
      id,
      { set: [{ name: 'KEY', value: 'sesame-open', secret: true, build: true }], unset: [] },
      'ada',
    )
    await expect(plan('test', 'a')).rejects.toMatchObject({ code: 'config_invalid' })
  })
})

describe('the serving image, used again', () => {
  const reuse = async (name: 'test' | 'live'): Promise<number> => {
    const { commit, ...rest } = await plans.reuse(await spine.environment(name))
    return spine.request('deploy', name, commit, rest)
  }

  it('is deployed with the variables of today, whatever was built since, and nothing is built', async () => {
    await spine.log(await spine.deploy('test', commitOf('a')))
    await spine.log(await spine.deploy('live', commitOf('b')))
    await set('test', { name: 'GREETING', value: 'hello' })
    const id = await reuse('test')
    await spine.log(id)
    expect(await spine.deploys.get(id)).toMatchObject({ state: 'live', commit: commitOf('a'), releaseNumber: 2 })
    const [release] = await spine.db.query<{ marks: object }>(
      'select variable_marks as marks from releases order by id desc limit 1',
    )
    expect(Object.keys(release?.marks ?? {})).toEqual(['GREETING'])
    expect(spine.builder.begun).toHaveLength(2)
  })

  it('tells of variables that need a build, and does not have them', async () => {
    await spine.log(await spine.deploy('test', commitOf('a')))
    await set('test', { name: 'THEME', value: 'red', build: true })
    expect(await plan('test', null)).toMatchObject({
      buildVariables: ['THEME'],
      image: { build: 1 },
      commit: commitOf('a'),
    })
    const id = await reuse('test')
    await spine.log(id)
    expect((await spine.deploys.get(id)).state).toBe('live')
    expect(spine.builder.begun).toHaveLength(1)
  })

  it('cannot be where nothing serves, nor when somebody has removed it', async () => {
    await expect(reuse('test')).rejects.toMatchObject({
      code: 'conflict',
      hint: expect.stringContaining('slipway deploy test'),
    })
    await spine.log(await spine.deploy('test', commitOf('a')))
    spine.builder.images.clear()
    await expect(reuse('test')).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('removed it'),
    })
  })
})
