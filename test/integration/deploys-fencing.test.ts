import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { claimNextDeploy } from '../../src/deploys/line-store.ts'
import { recordEnd, recordStepBegun } from '../../src/deploys/store.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine

beforeAll(async () => {
  spine = await makeSpine()
})
afterAll(() => spine.close())

describe('a worker that has lost its deploy', () => {
  it('changes nothing of it any more', async () => {
    const { id: environmentId } = await spine.environment('test')
    const request = { environmentId, kind: 'push', branch: 'main', commit: commitOf('a'), requestedBy: 'ada' } as const
    // Nobody is woken: the claim below takes it.
    await spine.db.transaction((tx) => spine.deploys.request(tx, { ...request, pushId: null }))
    const claimed = await spine.db.transaction((tx) => claimNextDeploy(tx, 'first'))
    if (claimed === null) throw new Error('nothing was claimed')
    const { id } = claimed
    await spine.db.query(`update deploys set lease_owner = 'second' where id = $1`, [id])

    const lost = { id, worker: 'first' }
    await expect(recordStepBegun(spine.db, lost, 'build')).rejects.toMatchObject({ code: 'conflict' })
    await expect(spine.db.transaction((tx) => recordEnd(tx, lost, 'live'))).rejects.toMatchObject({ code: 'conflict' })
    const owned = 'select state, step, lease_owner as owner from deploys where id = $1'
    expect(await spine.db.query(owned, [id])).toEqual([{ state: 'running', step: null, owner: 'second' }])

    await recordStepBegun(spine.db, { id, worker: 'second' }, 'build')
    expect(await spine.db.query(owned, [id])).toEqual([{ state: 'running', step: 'build', owner: 'second' }])
  })
})
