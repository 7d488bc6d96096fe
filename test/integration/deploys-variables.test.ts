import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { readReleaseSpec } from '../../src/deploys/release-spec.ts'
import { Secret } from '../../src/kernel/secret.ts'
import { waitFor } from '../support/slipway.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine
beforeEach(async () => {
  spine = await makeSpine()
})
afterEach(() => spine.close())

type Flags = { secret?: boolean; build?: boolean }
async function set(name: string, value: string, flags: Flags = {}, environment: 'test' | 'live' = 'test') {
  const { id } = await spine.environment(environment)
  await spine.vars.change(id, { set: [{ name, value, ...flags }], unset: [] }, 'ada')
}
async function live(deployId: number): Promise<void> {
  const log = await spine.log(deployId)
  expect([(await spine.deploys.get(deployId)).state, log]).toEqual(['live', log])
}
/** What a container of the deploy's release gets. */
async function envOf(deployId: number): Promise<Record<string, string>> {
  const spec = await readReleaseSpec(await spine.deploys.get(deployId), spine.tools)
  const { env } = spec.instance({ process: 'web', position: 1, address: null })
  return Object.fromEntries(Object.entries(env).map(([n, v]) => [n, v instanceof Secret ? v.reveal() : v]))
}
const argsOf = async (deployId: number) => spine.builder.args.get((await spine.deploys.get(deployId)).buildId ?? 0)

describe('a release', () => {
  it('has the variables as they were when it was made, and keeps them', async () => {
    await set('GREETING', 'hello\n"$USER"')
    await set('TOKEN', 'a-hidden-one', { secret: true })
    const first = await spine.deploy('test', commitOf('a'))
    await live(first)
    await set('GREETING', 'changed')
    expect(await envOf(first)).toMatchObject({ GREETING: 'hello\n"$USER"', TOKEN: 'a-hidden-one', STAGE: 'test' })
    const second = await spine.deploy('test', commitOf('b'))
    await live(second)
    expect(await envOf(second)).toMatchObject({ GREETING: 'changed', TOKEN: 'a-hidden-one' })
    expect(await envOf(first)).toMatchObject({ GREETING: 'hello\n"$USER"' })
    // What was changed since is seen without opening anything.
    const changed = await spine.db.query(
      `select v.name from variables v, releases r, deploys d
       where d.id = $1 and r.id = d.release_id and v.environment_id = r.environment_id
         and encode(v.mark, 'hex') is distinct from r.variable_marks ->> v.name`,
      [first],
    )
    expect(changed).toEqual([{ name: 'GREETING' }])
    const stored = await spine.db.query<{ sealed: string }>(
      `select encode(variables, 'escape') as sealed from releases`,
    )
    expect(stored.map(({ sealed }) => sealed).join('')).not.toContain('hidden')
  })

  it('lets a user’s value win over Slipway’s, and checks the port that PORT says', async () => {
    await set('DEBUG', 'maybe')
    await set('SECRET_KEY', 'my-own')
    const port = String(spine.config.port)
    spine.config = { ...spine.config, port: null }
    await set('PORT', port)
    const id = await spine.deploy('test', commitOf('a'))
    await live(id)
    expect(await envOf(id)).toMatchObject({ DEBUG: 'maybe', SECRET_KEY: 'my-own', PORT: port, STAGE: 'test' })
  })

  it('gets them in release commands, too, and nothing of another environment', async () => {
    await set('ONLY', 'live', {}, 'live')
    const id = await spine.deploy('test', commitOf('a'))
    await live(id)
    expect(await envOf(id)).not.toHaveProperty('ONLY')
  })
})

describe('a build', () => {
  it('gets what is for it, and is another build with other values', async () => {
    await set('API_URL', 'https://one', { build: true })
    await set('RUN_ONLY', 'x')
    const first = await spine.deploy('test', commitOf('a'))
    await live(first)
    expect(await argsOf(first)).toEqual({ API_URL: 'https://one' })
    expect(await envOf(first)).toMatchObject({ API_URL: 'https://one', RUN_ONLY: 'x' })
    await set('API_URL', 'https://two', {}, 'test')
    const second = await spine.deploy('test', commitOf('a'))
    await live(second)
    expect(await argsOf(second)).toEqual({ API_URL: 'https://two' })
  })

  it('is one for both environments only while what it gets is the same', async () => {
    for (const environment of ['test', 'live'] as const)
      await set('API_URL', 'https://one', { build: true }, environment)
    let finish: () => void = () => undefined
    const held = new Promise<void>((resolve) => (finish = resolve))
    spine.onBuild = () => held
    const buildOf = async (id: number) => (await spine.deploys.get(id)).buildId
    const begun = (id: number) => waitFor('the build', 20_000, async () => (await buildOf(id)) !== null)
    const both = [await spine.deploy('test', commitOf('a')), await spine.deploy('live', commitOf('a'))]
    for (const id of both) await begun(id)
    expect(await buildOf(both[0] ?? 0)).toBe(await buildOf(both[1] ?? 0))
    finish()
    for (const id of both) await live(id)

    await set('API_URL', 'https://live', {}, 'live')
    const apart = [await spine.deploy('test', commitOf('b')), await spine.deploy('live', commitOf('b'))]
    for (const id of apart) await live(id)
    expect(await Promise.all(apart.map(argsOf))).toEqual([{ API_URL: 'https://one' }, { API_URL: 'https://live' }])
  })

  it('is made again when its variables are changed while it is made: image and release agree', async () => {
    await set('API_URL', 'https://old', { build: true })
    let changed = false
    spine.onBuild = async () => {
      if (!changed) await set('API_URL', 'https://new')
      changed = true
    }
    const id = await spine.deploy('test', commitOf('a'))
    const log = await spine.log(id)
    expect(log.join('\n')).toContain('Variables of the build were changed while it was made')
    await live(id)
    expect(await argsOf(id)).toEqual({ API_URL: 'https://new' })
    expect(await envOf(id)).toMatchObject({ API_URL: 'https://new' })
    expect(spine.builder.begun).toHaveLength(2)
  })

  it('is refused before it begins when a secret is for it', async () => {
    await set('NPM_TOKEN', 'a-hidden-one', { secret: true, build: true })
    const id = await spine.deploy('test', commitOf('a'))
    const log = (await spine.log(id)).join('\n')
    expect((await spine.deploys.get(id)).state).toBe('failed')
    expect(log).toMatch(/error: NPM_TOKEN is secret and for the build.*BuildKit secrets only.*Nothing was built/)
    expect(log).not.toContain('a-hidden-one')
    expect(spine.builder.begun).toEqual([])
    await set('NPM_TOKEN', 'a-hidden-one', { build: false })
    await live(await spine.deploy('test', commitOf('a')))
  })
})
