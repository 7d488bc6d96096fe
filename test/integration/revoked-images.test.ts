import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { makeHeldBuild } from '../support/held-build.ts'
import { makeMoves } from '../support/releases-of-spine.ts'
import { waitFor } from '../support/slipway.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

/** An image that was built with a value that leaked holds it, whatever variables its releases have: nothing new starts from it. */

type Name = 'test' | 'live'
const leaked = 'https://user:leaked@example.com'

let spine: Spine
let moves: ReturnType<typeof makeMoves>
beforeEach(async () => {
  spine = await makeSpine()
  moves = makeMoves(spine)
})
afterEach(() => spine.close())

async function set(value: string, environment: Name = 'test', build = true): Promise<void> {
  const { id } = await spine.environment(environment)
  await spine.vars.change(id, { set: [{ name: 'API_URL', value, build }], unset: [] }, 'ada')
}
async function goLive(letter: string, name: Name = 'test'): Promise<number> {
  const id = await spine.deploy(name, commitOf(letter))
  await spine.log(id)
  expect((await spine.deploys.get(id)).state).toBe('live')
  return id
}
async function revoke(environment: Name = 'test', release: number | null = null): Promise<object> {
  const { id, appId } = await spine.environment(environment)
  const [of] = await spine.db.query<{ id: number; number: number }>(
    'select id, number from releases where environment_id = $1 and number = $2',
    [id, release],
  )
  const wish = { appId, environmentId: id, environment, name: 'API_URL', release: of ?? null, value: 'https://new' }
  return spine.revocation.revoke(wish, 'ada')
}
const rollBack = async (release: number | null = null) =>
  moves.rollbacks.begin(await spine.environment('test'), { release, keepVariables: true, hold: false, by: 'ada' })
async function promote(choice: { anyway?: boolean; rebuild?: boolean } = {}) {
  const [live, from] = [await spine.environment('live'), await spine.environment('test')]
  return moves.promotions.begin(live, { from, release: null, anyway: false, rebuild: false, ...choice, by: 'ada' })
}
async function planPromotion() {
  const [live, from] = [await spine.environment('live'), await spine.environment('test')]
  return moves.promotions.plan(live, { from, release: null })
}
const refusal = (release: string, hint: string) => ({
  code: 'conflict',
  message: `The image of ${release} was built with a value of API_URL that was revoked since, and may hold it.`,
  hint: expect.stringContaining(hint),
})

describe('an image that was built with a value that was revoked', () => {
  it('is neither gone back to nor promoted, and can be built again', async () => {
    await set(leaked)
    await set(leaked, 'live')
    await goLive('a')
    await goLive('b')
    await revoke()
    await expect(rollBack()).rejects.toMatchObject(refusal('v1', 'slipway releases rebuild v1 test -a shop'))
    const again = 'slipway promote test live -a shop --rebuild'
    expect(await planPromotion()).toMatchObject({ refusal: refusal('test v2', again) })
    await expect(promote()).rejects.toMatchObject(refusal('test v2', again))
    await expect(promote({ anyway: true })).rejects.toMatchObject(refusal('test v2', again))
    const { deployId } = await promote({ rebuild: true })
    await spine.log(deployId)
    const { state, buildId } = await spine.deploys.get(deployId)
    expect([state, spine.builder.args.get(buildId ?? 0)]).toEqual(['live', { API_URL: 'https://new' }])
  })

  it('is not one that a deploy was given for others, nor one that was built with another value', async () => {
    await set('https://of-test')
    await goLive('a')
    await goLive('b')
    await set(leaked, 'live')
    const { deployId } = await promote({ anyway: true })
    await spine.log(deployId)
    expect(await revoke('live')).toMatchObject({ images: [] })
    await spine.log((await rollBack()).deployId)
    expect((await spine.environment('test')).held).toBe(false)
  })

  it('is not taken by a deploy that stood in line meanwhile', async () => {
    await set(leaked)
    await goLive('a')
    await goLive('b')
    const held = makeHeldBuild()
    spine.onBuild = held.hook
    await set('https://other', 'test')
    const busy = await spine.deploy('test', commitOf('c'))
    await held.reached
    const { deployId } = await rollBack(1)
    await revoke('test', 1)
    held.open()
    await spine.log(busy)
    const log = await spine.log(deployId)
    const { state, releaseId } = await spine.deploys.get(deployId)
    expect([state, releaseId, log.join('\n')]).toEqual(['failed', null, expect.stringContaining('may hold it')])
    expect(log).toContain(
      'error: To build its commit again, with the variables of today: slipway releases rebuild v1 test -a shop',
    )
  })

  it('goes on serving, and is started again when it ends; but an old release of it is woken no more', async () => {
    await set(leaked)
    await goLive('a')
    await goLive('b')
    const stateOf = async (number: number): Promise<string | undefined> => {
      const sql = 'select i.state from instances i join releases r on r.id = i.release_id where r.number = $1'
      return (await spine.db.query<{ state: string }>(sql, [number]))[0]?.state
    }
    await waitFor('v1 to be retired', 20_000, async () => (await stateOf(1)) === 'retired')
    const ask = () => spine.deploys.askForRelease('v1--test--shop.localhost')
    await ask()
    await waitFor('v1 to be awake', 20_000, async () => (await stateOf(1)) === 'awake')
    await revoke()
    await waitFor('v1 to sleep', 20_000, async () => (await stateOf(1)) === 'retired')
    expect(await ask()).toMatchObject({ kind: 'refused', why: 'revoked' })
    const { id } = await spine.environment('test')
    const find = async () => (await spine.deploys.listInstances(id)).find(({ releaseNumber }) => releaseNumber === 2)
    const before = (await find())?.containerId ?? ''
    spine.runtime.end(before)
    await waitFor('v2 to serve again', 20_000, async () => {
      const now = await find()
      return now?.containerId !== before && now?.downSince === null
    })
  })
})
