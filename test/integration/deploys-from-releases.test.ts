import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { makeImages } from '../../src/builds/index.ts'
import { readReleaseSpec } from '../../src/deploys/release-spec.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { Secret } from '../../src/kernel/secret.ts'
import { makeHeldBuild } from '../support/held-build.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

/** Deploys that take the image of a release instead of building one. */

let spine: Spine
beforeEach(async () => {
  spine = await makeSpine()
})
afterEach(() => spine.close())

type Name = 'test' | 'live'

async function set(name: string, value: string, environment: Name, flags: { secret?: boolean } = {}): Promise<void> {
  const { id } = await spine.environment(environment)
  await spine.vars.change(id, { set: [{ name, value, ...flags }], unset: [] }, 'ada')
}
async function releaseOf(deployId: number): Promise<number> {
  await spine.log(deployId)
  const { state, releaseId } = await spine.deploys.get(deployId)
  expect(state).toBe('live')
  return releaseId ?? 0
}
async function envOf(deployId: number): Promise<Record<string, string>> {
  const spec = await readReleaseSpec(await spine.deploys.get(deployId), spine.tools)
  const { env } = spec.instance({ process: 'web', position: 1, address: null })
  return Object.fromEntries(Object.entries(env).map(([n, v]) => [n, v instanceof Secret ? v.reveal() : v]))
}
const goBack = (
  environment: Name,
  releaseId: number,
  more: { variables?: 'release' | 'environment'; holds?: boolean; commit?: string } = {},
): Promise<number> =>
  spine.request('rollback', environment, more.commit ?? commitOf('a'), {
    from: { releaseId, variables: more.variables ?? 'release' },
    holds: more.holds ?? false,
  })
const command = (run: string, on: readonly ('deploy' | 'promote')[]) => ({ label: run, run, on, timeoutMs: 5_000 })

describe('a deploy from a release', () => {
  it('makes a new release of its image, with its variables, sealed anew, and builds nothing', async () => {
    await set('GREETING', 'of then', 'test')
    await set('TOKEN', 'a-hidden-one', 'test', { secret: true })
    const first = await spine.deploy('test', commitOf('a'))
    const then = await releaseOf(first)
    await set('GREETING', 'of now', 'test')
    await set('TOKEN', 'another-one', 'test', { secret: true })
    await releaseOf(await spine.deploy('test', commitOf('b')))

    const back = await goBack('test', then)
    const log = await spine.log(back)
    expect(log).toContain('step: Taking the image of v1; nothing is built')
    expect(log[0]).toBe(`step: Deploy ${back}: shop aaaaaaaaaa to test, back to v1`)
    expect(log.at(-1)).toMatch(/release=v3 status=live/)
    expect(log.join('\n')).not.toContain('hidden')
    expect(spine.builder.begun).toHaveLength(2)
    const made = await spine.deploys.get(back)
    expect(made.buildId).toBe((await spine.deploys.get(first)).buildId)
    expect(made.from).toEqual({ releaseId: then, number: 1, environment: 'test', variables: 'release' })
    expect(await envOf(back)).toMatchObject({ GREETING: 'of then', TOKEN: 'a-hidden-one', SLIPWAY_RELEASE: 'v3' })
    // What it kept is its own: that of the first may go.
    await spine.db.query(
      `update releases set variables = null, variables_key_id = null, variable_marks = '{}' where id = $1`,
      [then],
    )
    expect(await envOf(back)).toMatchObject({ GREETING: 'of then', TOKEN: 'a-hidden-one' })
    const marks = await spine.db.query<{ names: string[] }>(
      `select array(select jsonb_object_keys(variable_marks) order by 1) as names from releases where id = $1`,
      [made.releaseId],
    )
    expect(marks[0]?.names).toEqual(['GREETING', 'TOKEN'])
  })

  it('has the variables of today when it is to', async () => {
    await set('GREETING', 'of then', 'test')
    const then = await releaseOf(await spine.deploy('test', commitOf('a')))
    await set('GREETING', 'of now', 'test')
    const back = await goBack('test', then, { variables: 'environment' })
    await releaseOf(back)
    expect(await envOf(back)).toMatchObject({ GREETING: 'of now' })
  })

  it('takes that of another environment, with its own variables, number and address', async () => {
    await set('GREETING', 'of test', 'test')
    await set('GREETING', 'of live', 'live')
    const first = await spine.deploy('test', commitOf('a'))
    const from = { releaseId: await releaseOf(first), variables: 'environment' as const }
    const promoted = await spine.request('promotion', 'live', commitOf('a'), { from })
    const log = await spine.log(promoted)
    expect(log).toContain('step: Taking the image of test v1; nothing is built')
    expect(log.at(-1)).toMatch(/environment=live release=v1 status=live/)
    expect(await envOf(promoted)).toMatchObject({ GREETING: 'of live', STAGE: 'live', DEBUG: 'False' })
    expect([...(await spine.router.read()).hosts.keys()].sort()).toContain('shop.localhost')
  })

  it('runs no release command to go back, and for a promotion those that are marked for it', async () => {
    const releaseCommands = [
      command('echo each', ['deploy', 'promote']),
      command('echo deployed', ['deploy']),
      command('echo promoted', ['promote']),
    ]
    spine.config = { ...spine.config, releaseCommands }
    const outputs = async (id: number) => (await spine.log(id)).filter((line) => line.startsWith('output: '))
    const first = await spine.deploy('test', commitOf('a'))
    expect((await outputs(first)).filter((line) => !/building|GET /.test(line))).toEqual([
      'output: each',
      'output: deployed',
    ])
    const releaseId = await releaseOf(first)
    const back = await goBack('test', releaseId)
    expect((await spine.log(back)).join('\n')).not.toMatch(/release command|output: (each|deployed|promoted)/)
    const from = { releaseId, variables: 'environment' as const }
    const promoted = await spine.request('promotion', 'live', commitOf('a'), { from })
    expect((await outputs(promoted)).filter((line) => !/building|GET /.test(line))).toEqual([
      'output: each',
      'output: promoted',
    ])
    expect((await spine.deploys.get(back)).commandsRan).toBe(false)
  })

  it('keeps its image from the moment it stands in line, and is refused when that is gone', async () => {
    const first = await spine.deploy('test', commitOf('a'))
    const then = await releaseOf(first)
    await releaseOf(await spine.deploy('test', commitOf('b')))
    const held = makeHeldBuild()
    spine.onBuild = held.hook
    const running = await spine.deploy('test', commitOf('c'))
    await held.reached
    const back = await goBack('test', then)
    const images = makeImages({ db: spine.db, builder: spine.builder, logger: silentLogger })
    const { buildId } = await spine.deploys.get(first)
    await spine.db.query(`update instances set state = 'retired' where release_id = $1`, [then])
    expect(await images.remove([buildId ?? 0])).toBe(0)
    held.open()
    await spine.log(running)
    await releaseOf(back)

    await spine.db.query(`update builds set image_removed_at = now() where id = $1`, [buildId])
    await expect(goBack('test', then)).rejects.toMatchObject({ code: 'conflict' })
  })

  it('fails before anything starts when its image was removed from the engine by hand, and says how to build it again', async () => {
    const first = await spine.deploy('test', commitOf('a'))
    const then = await releaseOf(first)
    await releaseOf(await spine.deploy('test', commitOf('b')))
    await spine.builder.discard((await spine.deploys.get(first)).buildId ?? 0)
    const log = (await spine.log(await goBack('test', then))).join('\n')
    expect(log).toContain('error: The image of v1 is gone: somebody removed it from the engine.')
    expect(log).toContain('slipway releases rebuild v1 test -a shop')
    expect(log).toContain('error: test still serves v2, untouched.')
  })

  it('goes on after a crash at its first step without a second release', async () => {
    const then = await releaseOf(await spine.deploy('test', commitOf('a')))
    const { id } = await spine.environment('test')
    // As it stands when the server died between the record of the release and that of the step.
    const back = await goBack('test', then)
    await releaseOf(back)
    const numbers = await spine.db.query<{ number: number }>('select number from releases where environment_id = $1', [
      id,
    ])
    expect(numbers).toHaveLength(2)
    await spine.db.query(`update deploys set state = 'running', finished_at = null, lease_owner = null where id = $1`, [
      back,
    ])
    await spine.db.query('delete from deploy_steps where deploy_id = $1', [back])
    await spine.restart()
    await spine.log(back)
    expect(await spine.db.query('select 1 from releases where environment_id = $1', [id])).toHaveLength(2)
  })
})

describe('a rollback that holds pushes', () => {
  const held = async (name: Name): Promise<boolean> => (await spine.environment(name)).held

  it('holds them from when it stands in line, takes the place of those that wait, and goes on holding when it is live', async () => {
    const then = await releaseOf(await spine.deploy('live', commitOf('a')))
    const build = makeHeldBuild()
    spine.onBuild = build.hook
    const byHand = await spine.deploy('live', commitOf('b'))
    await build.reached
    const pushed = await spine.push('live', commitOf('c'))
    const last = await spine.deploy('live', commitOf('d'))
    const back = await goBack('live', then, { holds: true })
    expect(await held('live')).toBe(true)
    expect(await held('test')).toBe(false)
    expect((await spine.log(pushed)).join('\n')).toContain(
      `error: live goes back to an earlier release: deploy ${back} (aaaaaaaaaa). This push is not deployed there.`,
    )
    expect((await spine.deploys.get(pushed)).supersededBy).toBe(back)
    build.open()
    spine.onBuild = async () => undefined
    for (const id of [byHand, back]) await releaseOf(id)
    // It went first, and what was asked for by hand comes behind it and ends the hold.
    await releaseOf(last)
    const order = await spine.db.query<{ id: number }>(
      `select id from deploys where state = 'live' and id = any($1) order by finished_at`,
      [[byHand, back, last]],
    )
    expect(order.map(({ id }) => id)).toEqual([byHand, back, last])
    expect(await held('live')).toBe(false)
    await releaseOf(await goBack('live', then, { holds: true }))
    expect(await held('live')).toBe(true)
    await releaseOf(await goBack('live', then))
    expect(await held('live')).toBe(true)
  })

  it('holds nothing any more when it fails or is cancelled', async () => {
    const then = await releaseOf(await spine.deploy('live', commitOf('a')))
    const build = makeHeldBuild()
    spine.onBuild = build.hook
    const byHand = await spine.deploy('live', commitOf('b'))
    await build.reached
    const back = await goBack('live', then, { holds: true })
    await spine.deploys.cancel(back, 'ada')
    expect(await held('live')).toBe(false)
    build.open()
    await releaseOf(byHand)
  })

  it('ends a push that still builds: it would only bring back what is gone back from', async () => {
    const then = await releaseOf(await spine.deploy('live', commitOf('a')))
    const build = makeHeldBuild()
    spine.onBuild = build.hook
    const pushed = await spine.push('live', commitOf('b'))
    await build.reached
    const back = await goBack('live', then, { holds: true })
    expect((await spine.log(pushed)).at(-1)).toMatch(/status=superseded/)
    await releaseOf(back)
  })
})
