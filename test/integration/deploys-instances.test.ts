import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { recordContainer } from '../../src/deploys/instances.ts'
import { reconcile } from '../../src/deploys/level/reconcile.ts'
import { labelNames, takeAddress } from '../../src/runtime/index.ts'
import { waitFor } from '../support/slipway.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine

beforeEach(async () => {
  spine = await makeSpine()
})
afterEach(() => spine.close())

interface Grown {
  readonly environmentId: number
  /** Their containers, by position from 1. */
  readonly ids: string[]
  readonly addresses: string[]
}

/** A release with three instances, as later ones will have them: two more rows, addresses and containers beside the first. */
async function makeThree(): Promise<Grown> {
  const deploy = await spine.deploys.get(await spine.push('test', commitOf('a')))
  await spine.log(deploy.id)
  const [first] = await spine.runtime.list()
  const ids = [first?.containerId ?? '']
  const addresses = [first?.address ?? '']
  for (const position of [2, 3]) {
    const id = await spine.db.transaction(async (tx) => {
      const [row] = await tx.query<{ id: number }>(
        `insert into instances (release_id, deploy_id, position, port, drain_ms, stop_ms, state)
         select release_id, deploy_id, $1, port, drain_ms, stop_ms, 'serving' from instances where position = 1 returning id`,
        [position],
      )
      await takeAddress(tx, row?.id as number, spine.tools.range)
      return row?.id as number
    })
    const [row] = await spine.db.query<{ address: string; release: number }>(
      `select host(a.address) as address, i.release_id as release from addresses a join instances i on i.id = a.instance_id
       where i.id = $1`,
      [id],
    )
    const spec = {
      name: `slw-spine-test--shop-v1-${position}`,
      image: first?.image ?? '',
      labels: { ...first?.labels, [labelNames.release]: String(row?.release), [labelNames.position]: String(position) },
      env: {},
      address: row?.address ?? '',
      limits: { memoryBytes: 64 * 1024 * 1024, cpus: 1, pids: 64 },
    }
    const { containerId } = await spine.runtime.start(spec, AbortSignal.timeout(5_000))
    await recordContainer(spine.db, id, containerId)
    ids.push(containerId)
    addresses.push(spec.address)
  }
  await spine.deploys.reconcile()
  return { environmentId: deploy.environmentId, ids, addresses }
}

/** Where requests of the environment end now. */
async function places(environmentId: number): Promise<string[] | string> {
  const { keys, sets } = await spine.router.read()
  const to = keys.get(`e${environmentId}`)
  if (to === undefined || 'state' in to) return to?.state ?? 'nowhere'
  return (sets.get(to.set) ?? []).slice(0, to.size).map(({ address }) => address)
}

const events = async (): Promise<string[]> => {
  const rows = await spine.db.query<{ kind: string; data: { position: number } }>(
    `select kind, data from events where kind like 'instance.%' order by id`,
  )
  return rows.map(({ kind, data }) => `${kind} ${data.position}`)
}

const until = (environmentId: number, wanted: string[] | string): Promise<void> =>
  waitFor(`requests to end at ${String(wanted)}`, 30_000, async () => {
    return JSON.stringify(await places(environmentId)) === JSON.stringify(wanted)
  })

describe('a release with several instances', () => {
  it('loses the one that died, the others go on; it is started again and takes its place', async () => {
    const { environmentId, ids, addresses } = await makeThree()
    const [one = '', two = '', three = ''] = addresses
    expect(await places(environmentId)).toEqual([one, two, three])
    const before = spine.router.changes.length
    spine.runtime.end(ids[1] ?? '', { exitCode: 9 })
    await waitFor('the second to be out', 30_000, async () => spine.router.changes.length > before)
    // Never by way of the page that says that the site is down.
    await until(environmentId, [one, two, three])
    expect(spine.router.changes.slice(before).filter((change) => change.includes('failed'))).toEqual([])
    expect(spine.router.changes.slice(before)).toContain(`swap e${environmentId} d1/2`)
    expect(await events()).toEqual(['instance.died 2', 'instance.restarted 2'])
  })

  it('is down when all of them are, and up with the first that comes back', async () => {
    const { environmentId, ids, addresses } = await makeThree()
    await spine.db.query(`update instances set start_attempts = 9, next_start_at = now() + interval '1 hour'`)
    for (const id of ids) spine.runtime.end(id, { exitCode: 1 })
    await until(environmentId, 'failed')
    await spine.db.query('update instances set next_start_at = null where position = 2')
    await spine.deploys.reconcile()
    await until(environmentId, [addresses[1] ?? ''])
  })

  it('keeps what is known of it over a restart of Slipway', async () => {
    const { environmentId, ids, addresses } = await makeThree()
    await spine.db.query(`update instances set start_attempts = 9, next_start_at = now() + interval '1 hour'`)
    spine.runtime.end(ids[2] ?? '', { exitCode: 137, outOfMemory: true })
    await until(environmentId, addresses.slice(0, 2))
    await waitFor('its end to be recorded', 30_000, async () => (await events()).length > 0)
    await spine.restart()
    expect(await places(environmentId)).toEqual(addresses.slice(0, 2))
    const [, , third] = await spine.deploys.listInstances(environmentId)
    expect(third).toMatchObject({ lastExitCode: 137, lastOutOfMemory: true, endCount: 1 })
    expect(third?.downSince).not.toBeNull()
  })
})

describe('a list that is empty', () => {
  it('of the engine starts nothing twice and removes nothing: each instance is looked at', async () => {
    await makeThree()
    const before = spine.runtime.names()
    const survey = async () => []
    expect(await reconcile({ ...spine.tools, runtime: { ...spine.runtime, survey } })).toMatchObject({
      started: 0,
      removed: 0,
      mended: [],
    })
    expect(spine.runtime.names()).toEqual(before)
  })

  it('of the database takes no site down and removes no container', async () => {
    const { environmentId, addresses } = await makeThree()
    const before = spine.runtime.names()
    await spine.deploys.stop()
    // As with a new, empty database.
    await spine.db.query('truncate environments cascade')
    const later = { ...spine.tools.clock, now: () => new Date(Date.now() + 11 * 60_000) }
    const found = await reconcile({ ...spine.tools, clock: later })
    expect(found).toMatchObject({ started: 0, removed: 0 })
    expect(found.mended.map(({ act }) => act).filter((act) => act !== null)).toEqual([])
    expect(found.mended.length).toBeGreaterThan(0)
    expect(spine.runtime.names()).toEqual(before)
    expect(await places(environmentId)).toEqual(addresses)
  })

  it('that fails changes nothing', async () => {
    await makeThree()
    const before = spine.router.changes.length
    spine.runtime.setAway(true)
    await expect(spine.deploys.reconcile()).rejects.toMatchObject({ code: 'unavailable' })
    spine.runtime.setAway(false)
    expect(spine.router.changes.length).toBe(before)
  })
})
