import { randomUUID } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { makeDeployLogs } from '../../src/deploys/log.ts'
import { makeHeldBuild } from '../support/held-build.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine

beforeEach(async () => {
  spine = await makeSpine()
})
afterEach(() => spine.close())

const states = (): Promise<{ id: number; state: string; superseded_by: number | null }[]> =>
  spine.db.query('select id, state, superseded_by from deploys order by id')

const serving = async (): Promise<string | undefined> => {
  const rows = await spine.db.query<{ commit: string }>(
    `select b.commit from routes t join releases r on r.id = t.release_id join builds b on b.id = r.build_id`,
  )
  return rows[0]?.commit[0]
}

describe('a deploy', () => {
  it('goes through its steps and ends with the line for machines', async () => {
    const id = await spine.push('test', commitOf('a'))
    const log = await spine.log(id)
    const own = log.filter((line) => line.startsWith('step:')).map((line) => line.split(' ')[1])
    expect(own).toEqual(['Deploy', 'Building', 'Starting', 'Checking', 'Swapping'])
    expect(log.at(-1)).toBe(`machine: slipway: deploy=${id} environment=test release=v1 status=live`)
    expect(log).toContain('detail: http://test--shop.localhost:8080')
    expect(log).toContain('detail: http://v1--test--shop.localhost:8080')
    const routes = await spine.router.read()
    expect([...routes.hosts.keys()].sort()).toEqual([
      'test--shop.localhost',
      'v0--test--shop.localhost',
      'v1--test--shop.localhost',
    ])
  })

  it('gives live no release address', async () => {
    const log = await spine.log(await spine.deploy('live', commitOf('a')))
    expect(log.join('\n')).not.toMatch(/v1--shop/)
    expect([...(await spine.router.read()).hosts.keys()]).toEqual(['shop.localhost'])
  })

  it('retires the release before it, with its container, address, routes and release address', async () => {
    await spine.log(await spine.push('test', commitOf('a')))
    await spine.log(await spine.push('test', commitOf('b')))
    await eventually(async () => expect(spine.runtime.names()).toEqual(['slw-spine-test--shop-v2-1']))
    await eventually(async () => {
      const routes = await spine.router.read()
      expect([...routes.hosts.keys()].sort()).toEqual([
        'test--shop.localhost',
        'v0--test--shop.localhost',
        'v2--test--shop.localhost',
      ])
      expect(routes.sets.size).toBe(1)
      expect(await spine.db.query('select 1 from addresses where instance_id is not null')).toHaveLength(1)
    })
  })

  it('serves until the next one does', async () => {
    const ids: number[] = []
    for (const commit of ['a', 'b']) {
      ids.push(await spine.push('test', commitOf(commit)))
      await spine.log(ids.at(-1) ?? 0)
    }
    const { id } = await spine.environment('test')
    const listed = (await spine.deploys.list(id, { limit: 5 })).map((deploy) => [
      deploy.id,
      deploy.state,
      deploy.serves,
    ])
    expect(listed).toEqual([
      [ids[1], 'live', true],
      [ids[0], 'live', false],
    ])
  })

  it('that fails leaves the running release, its route and container alone, and removes what it had started', async () => {
    await spine.log(await spine.push('test', commitOf('a')))
    const before = await spine.router.read()
    // Nothing listens on port 1.
    spine.config = { ...spine.config, port: 1, health: { ...spine.config.health, deadlineMs: 300 } }
    const log = await spine.log(await spine.push('test', commitOf('b')))
    expect(log.at(-1)).toMatch(/environment=test release=v2 status=failed$/)
    expect(log).toContain('error: test still serves v1, untouched.')
    expect(await spine.router.read()).toEqual(before)
    expect(spine.runtime.names()).toEqual(['slw-spine-test--shop-v1-1'])
    expect(await serving()).toBe('a')
  })

  it('says when release commands ran and nothing was swapped', async () => {
    const command = (run: string) => ({ label: 'migrations', run, on: ['deploy' as const], timeoutMs: 5000 })
    spine.config = { ...spine.config, releaseCommands: [command('echo migrated'), command('exit 3')] }
    const log = await spine.log(await spine.push('test', commitOf('a')))
    expect(log).toContain('output: migrated')
    expect(log.join('\n')).toMatch(
      /error: The release command “migrations” failed with exit code 3\. Release commands ran, not swapped\.\nerror: It printed nothing\. Nothing was swapped/,
    )
    expect(spine.runtime.names()).toEqual([])
  })
})

describe('the line', () => {
  it('runs one deploy of an environment at a time, in order, and those of others beside it', async () => {
    const held = makeHeldBuild()
    spine.onBuild = (build, signal) => (build.commit === commitOf('a') ? held.hook(build, signal) : Promise.resolve())
    const first = await spine.push('test', commitOf('a'))
    await held.reached
    const second = await spine.deploy('test', commitOf('b'))
    const other = await spine.deploy('live', commitOf('c'))
    expect((await spine.log(other)).at(-1)).toMatch(/status=live/)
    expect((await states()).map(({ state }) => state)).toEqual(['running', 'waiting', 'live'])
    held.open()
    expect((await spine.log(second)).join('\n')).toMatch(
      new RegExp(`Waiting for deploy ${first} of test to end \\(place 1`),
    )
    expect((await states()).map(({ state }) => state)).toEqual(['live', 'live', 'live'])
  })

  it('lets a newer push take the place of a waiting one and tells it; a deploy by hand keeps its place', async () => {
    const held = makeHeldBuild()
    spine.onBuild = held.hook
    const first = await spine.push('test', commitOf('a'))
    await held.reached
    const replaced = await spine.push('test', commitOf('b'))
    const byHand = await spine.deploy('test', commitOf('c'))
    const newest = await spine.push('test', commitOf('d'))
    const told = await spine.log(replaced)
    expect(told.at(-1)).toBe(`machine: slipway: deploy=${replaced} environment=test release=- status=superseded`)
    expect(told.join('\n')).toContain(`deploy ${newest}`)
    held.open()
    await spine.log(newest)
    const after = await states()
    expect(after.map(({ id, state }) => [id, state])).toEqual([
      [first, 'live'],
      [replaced, 'superseded'],
      [byHand, 'live'],
      [newest, 'live'],
    ])
    expect(after[1]?.superseded_by).toBe(newest)
    expect(await serving()).toBe('d')
  })

  it('ends as one live and the newest served, when twenty pushes come at once', async () => {
    const ids = await Promise.all([...'abcdefghijklmnopqrst'].map((letter) => spine.push('test', commitOf(letter))))
    await Promise.all(ids.map((id) => spine.log(id)))
    const after = await states()
    expect(after.filter(({ state }) => state !== 'live' && state !== 'superseded')).toEqual([])
    expect(after.at(-1)?.state).toBe('live')
    const [newest] = await spine.db.query<{ commit: string }>('select commit from deploys order by id desc limit 1')
    expect(await serving()).toBe(newest?.commit[0])
  })
})

describe('cancelling', () => {
  it('ends a waiting deploy at once', async () => {
    const held = makeHeldBuild()
    spine.onBuild = held.hook
    await spine.push('test', commitOf('a'))
    await held.reached
    const waiting = await spine.push('test', commitOf('b'))
    await spine.deploys.cancel(waiting, 'ada')
    expect((await spine.log(waiting)).at(-1)).toMatch(/status=cancelled$/)
    held.open()
  })

  it('ends a running build, and the next in line begins', async () => {
    const held = makeHeldBuild()
    spine.onBuild = (build, signal) => (build.commit === commitOf('a') ? held.hook(build, signal) : Promise.resolve())
    const first = await spine.push('test', commitOf('a'))
    await held.reached
    const next = await spine.push('test', commitOf('b'))
    await spine.deploys.cancel(first, 'ada')
    const log = await spine.log(first)
    expect(log).toContain('error: Cancelled by ada.')
    expect(log.at(-1)).toMatch(/status=cancelled$/)
    expect((await spine.log(next)).at(-1)).toMatch(/status=live$/)
  })

  it('is refused after the end, with the reason', async () => {
    const id = await spine.push('test', commitOf('a'))
    await spine.log(id)
    await expect(spine.deploys.cancel(id, 'ada')).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('live'),
    })
  })
})

describe('the log of a deploy', () => {
  it('ends also when a build writes nothing but empty lines', async () => {
    const id = await spine.push('test', commitOf('a'))
    await spine.log(id)
    await spine.db.query(
      `insert into deploy_log (deploy_id, seq, kind, text)
       select $1, max(seq) + 1, 'output', repeat('x', 20 * 1024 * 1024 - 10000) from deploy_log where deploy_id = $1`,
      [id],
    )
    await spine.db.query(`update deploys set lease_owner = 'writer' where id = $1`, [id])
    const log = await makeDeployLogs(spine.db).open({ id, worker: 'writer' })
    for (let i = 0; i < 1000; i++) log.write('output', '')
    await log.flush()
    const rows = await spine.db.query<{ kind: string; text: string }>(
      'select kind, text from deploy_log where deploy_id = $1 order by seq desc limit 1000',
      [id],
    )
    expect(rows[0]).toEqual({ kind: 'detail', text: expect.stringContaining('longer than is kept') })
    expect(rows.filter((row) => row.kind === 'output' && row.text === '').length).toBeLessThan(200)
  })
})

describe('a restart', () => {
  it('goes on with a deploy in the middle of its build, and its log goes on where it was', async () => {
    const held = makeHeldBuild()
    spine.onBuild = held.hook
    const id = await spine.push('test', commitOf('a'))
    await held.reached
    spine.onBuild = async () => undefined
    await spine.restart()
    const log = await spine.log(id)
    expect(log.at(-1)).toMatch(/release=v1 status=live$/)
    const [seqs] = await spine.db.query<{ n: number; last: number }>(
      'select count(*) as n, max(seq) as last from deploy_log where deploy_id = $1',
      [id],
    )
    expect(seqs?.n).toBe(seqs?.last)
  })

  it('never runs a release command twice', async () => {
    const ran = join(tmpdir(), `slipway-ran-${randomUUID()}`)
    const command = { label: 'once', run: `echo ran >> ${ran}; sleep 0.3`, on: ['deploy' as const], timeoutMs: 5000 }
    spine.config = { ...spine.config, releaseCommands: [command] }
    const id = await spine.push('test', commitOf('a'))
    await eventually(async () => expect((await spine.db.query('select 1 from release_commands')).length).toBe(1))
    await spine.restart()
    const log = await spine.log(id)
    expect(log.at(-1)).toMatch(/status=live$/)
    expect(await readFile(ran, 'utf8')).toBe('ran\n')
    await rm(ran)
  })

  it('finds routes and instances as they were, and starts an instance that is gone', async () => {
    await spine.log(await spine.push('test', commitOf('a')))
    const before = await spine.router.read()
    const [name] = spine.runtime.names()
    const [instance] = await spine.runtime.list()
    await spine.runtime.remove(instance?.containerId ?? '')
    await spine.router.replaceAll({ hosts: new Map(), keys: new Map(), sets: new Map() })
    await spine.restart()
    expect(spine.runtime.names()).toEqual([name])
    // Requests are led to the started instance as soon as it listens.
    await eventually(async () => expect(await spine.router.read()).toEqual(before))
  })

  it('removes nothing when the engine does not answer', async () => {
    await spine.log(await spine.push('test', commitOf('a')))
    spine.runtime.setAway(true)
    await expect(spine.deploys.reconcile()).rejects.toMatchObject({ code: 'unavailable' })
    spine.runtime.setAway(false)
    expect(spine.runtime.names()).toHaveLength(1)
    expect((await spine.router.read()).hosts.size).toBe(3)
  })
})

async function eventually(assertion: () => Promise<void>): Promise<void> {
  const end = Date.now() + 30_000
  for (;;) {
    try {
      return await assertion()
    } catch (error) {
      if (Date.now() > end) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}
