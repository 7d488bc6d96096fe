import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { setTimeout as delay } from 'node:timers/promises'
import { makeDeployReads, makeLocks } from '../../src/deploys/index.ts'
import type { FailedAnswers } from '../../src/deploys/warm/count-answers.ts'
import { endWatch, listWatched } from '../../src/deploys/warm/watch-store.ts'
import { environmentKey, type Target } from '../../src/routing/index.ts'
import { makeMoves } from '../support/releases-of-spine.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

/** What served before a swap and is kept as it was: going back to it, and going back by itself. */

let spine: Spine
beforeEach(async () => {
  spine = await makeSpine()
})
afterEach(() => spine.close())

const web = (version: string): string => `slw-spine-test--shop-${version}-1`
const worker = (version: string): string => `slw-spine-test--shop-${version}-worker-1`

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !(await what()); await delay(20)) {
    if (Date.now() > end) throw new Error(`it did not come to that: ${what.toString()}`)
  }
}
async function live(deployId: number): Promise<number> {
  await spine.log(deployId)
  const { state, releaseId } = await spine.deploys.get(deployId)
  expect(state).toBe('live')
  return releaseId as number
}
const goBack = (releaseId: number, variables: 'release' | 'environment' = 'release'): Promise<number> =>
  spine.request('rollback', 'test', commitOf('a'), { from: { releaseId, variables } })
async function containerOf(name: string): Promise<string> {
  const found = (await spine.runtime.survey()).find((one) => one.name === name)
  if (found === undefined) throw new Error(`there is no ${name}`)
  return found.containerId
}
async function ledTo(): Promise<unknown> {
  const { id } = await spine.environment('test')
  return (await spine.router.read()).keys.get(environmentKey(id))
}

describe('keep_warm', () => {
  beforeEach(() => {
    spine.config = { ...spine.config, keepWarmMs: 600_000 }
  })

  it('goes back, too, to what ended once while it served, or since', async () => {
    const before = await live(await spine.push('test', commitOf('a')))
    const container = await containerOf(web('v1'))
    spine.runtime.endOnce(container)
    await live(await spine.push('test', commitOf('b')))
    spine.runtime.endOnce(container)
    const back = await goBack(before)
    expect(await spine.log(back)).toContain(
      'detail: What ran of v1 is still warm: it serves again, and nothing is started',
    )
    expect((await spine.deploys.get(back)).state).toBe('live')
    expect(await containerOf(web('v1'))).toBe(container)
  })

  it('keeps what served, and going back to it starts nothing', async () => {
    const first = await spine.push('test', commitOf('a'))
    const before = await live(first)
    const container = await containerOf(web('v1'))
    await live(await spine.push('test', commitOf('b')))
    await delay(600)
    expect(spine.runtime.names()).toEqual([web('v1'), web('v2')])

    const address = async (version: string): Promise<unknown> => {
      const { hosts, keys } = await spine.router.read()
      return keys.get(hosts.get(`${version}--test--shop.localhost`) ?? '')
    }
    expect(await address('v1')).toEqual({ set: `d${first}`, size: 1 })

    const back = await goBack(before)
    const log = await spine.log(back)
    expect(log).toContain('detail: What ran of v1 is still warm: it serves again, and nothing is started')
    expect(log.at(-1)).toMatch(/release=v3 status=live/)
    // What does nothing is not waited for.
    const steps = await spine.db.query<{ step: string }>(
      'select step from deploy_steps where deploy_id = $1 order by started_at',
      [back],
    )
    expect(steps.map(({ step }) => step)).toEqual(['build', 'start', 'check', 'swap'])
    expect(await containerOf(web('v1'))).toBe(container)
    expect(await ledTo()).toEqual({ set: `d${first}`, size: 1 })
    await until(() => spine.runtime.names().length === 1)
    expect(spine.runtime.names()).toEqual([web('v1')])
    expect((await spine.deploys.findDifferences()).map(({ what }) => what)).toEqual([])

    for (const version of ['v1', 'v3']) expect(await address(version)).toEqual({ set: `d${first}`, size: 1 })
    expect(await address('v2')).toBeUndefined()

    // It serves as any other does, and goes as any other.
    await spine.restart()
    const next = await spine.push('test', commitOf('c'))
    await live(next)
    expect(await ledTo()).toEqual({ set: `d${next}`, size: 1 })
    expect(spine.runtime.names()).toEqual([web('v1'), web('v4')])
    await delay(600)
    for (const version of ['v1', 'v3']) expect(await address(version)).toEqual({ set: `d${first}`, size: 1 })
    await spine.deploys.reconcile()
    expect((await spine.deploys.findDifferences()).map(({ what }) => what)).toEqual([])
    await spine.deploys.stopServing((await spine.environment('test')).id, 'ada')
    await until(() => spine.runtime.names().length === 0)
  })

  it('leaves the address of the release that it was started for as that of any other: who asks wakes it', async () => {
    const before = await live(await spine.push('test', commitOf('a')))
    await live(await spine.push('test', commitOf('b')))
    await live(await goBack(before))
    spine.config = { ...spine.config, keepWarmMs: 0 }
    await live(await spine.push('test', commitOf('c')))
    await until(() => spine.runtime.names().join() === web('v4'))
    const host = 'v1--test--shop.localhost'
    const leads = async (): Promise<boolean> => (await spine.router.read()).hosts.has(host)
    await until(async () => !(await leads()))
    const { id } = await spine.environment('test')
    await until(async () => (await spine.deploys.listInstances(id)).length === 1)
    expect((await spine.deploys.askForRelease(host)).kind).toBe('starting')
    await until(leads)
    await spine.deploys.reconcile()
    expect((await spine.deploys.findDifferences()).map(({ what }) => what)).toEqual([])
    expect([await leads(), spine.runtime.names().toSorted()]).toEqual([true, [web('v1'), web('v4')]])
    const rows = await spine.db.query<{ number: number; state: string }>(
      `select r.number, i.state from instances i join releases r on r.id = i.release_id where i.state = 'awake'`,
    )
    expect(rows).toEqual([{ number: 1, state: 'awake' }])
  })

  it('ends with its time, also over a restart', async () => {
    spine.config = { ...spine.config, keepWarmMs: 6_000 }
    await live(await spine.push('test', commitOf('a')))
    await live(await spine.push('test', commitOf('b')))
    await spine.restart()
    await delay(1_000)
    expect(spine.runtime.names()).toEqual([web('v1'), web('v2')])
    await until(() => !spine.runtime.names().includes(web('v1')))
  })

  it('keeps one only: the next swap ends what was warm before', async () => {
    for (const letter of ['a', 'b', 'c']) await live(await spine.push('test', commitOf(letter)))
    await until(() => !spine.runtime.names().includes(web('v1')))
    expect(spine.runtime.names()).toEqual([web('v2'), web('v3')])
  })

  it('starts anew what has other variables or another number, and what somebody removed', async () => {
    const before = await live(await spine.push('test', commitOf('a')))
    await live(await spine.push('test', commitOf('b')))
    const cold = await goBack(before, 'environment')
    await live(cold)
    expect((await spine.deploys.get(cold)).instancesOf).toBe(cold)

    const again = await live(await spine.push('test', commitOf('c')))
    await live(await spine.push('test', commitOf('d')))
    await spine.runtime.remove(await containerOf(web('v4')))
    const anew = await goBack(again)
    await live(anew)
    expect(await spine.log(anew)).toContain(
      'detail: What was kept warm of v4 does not run any more: it is started anew',
    )
    expect(await ledTo()).toEqual({ set: `d${anew}`, size: 1 })
    await until(() => spine.runtime.names().length === 1)
    expect(spine.runtime.names()).toEqual([web('v6')])
  })

  it('is started anew when one of several does not run any more', async () => {
    spine.config = { ...spine.config, processes: [{ name: 'web', run: null, instances: 2 }] }
    const deploy = async (letter: string): Promise<number> => live(await spine.deploy('live', commitOf(letter)))
    const before = await deploy('a')
    await deploy('b')
    const warm = web('v1').replace('test--', '')
    spine.runtime.end(await containerOf(warm))
    const back = await spine.request('rollback', 'live', commitOf('a'), {
      from: { releaseId: before, variables: 'release' },
    })
    await live(back)
    expect(await spine.log(back)).toContain(
      'detail: What was kept warm of v1 does not run any more: it is started anew',
    )
    expect((await spine.deploys.get(back)).instancesOf).toBe(back)
  })

  const isStartedAnew = async (deployId: number): Promise<boolean> => {
    const text = 'What was warm of v1 is started anew: %'
    const rows = await spine.db.query('select 1 from deploy_log where deploy_id = $1 and text like $2', [
      deployId,
      text,
    ])
    return rows.length === 1
  }

  it('is given up when it does not pass its checks any more: the same deploy starts anew', async () => {
    const before = await live(await spine.push('test', commitOf('a')))
    await live(await spine.push('test', commitOf('b')))
    spine.answer = 500
    const back = await goBack(before)
    await until(() => isStartedAnew(back))
    spine.answer = 200
    await live(back)
    expect((await spine.deploys.get(back)).instancesOf).toBe(back)
    expect(spine.runtime.names()).toContain(web('v3'))
    await until(() => !spine.runtime.names().includes(web('v1')))
    const steps = await spine.db.query(
      `select step, outcome from deploy_steps where deploy_id = $1 and step in ('start', 'check') order by started_at`,
      [back],
    )
    expect(steps).toEqual([
      { step: 'start', outcome: 'done' },
      { step: 'check', outcome: 'done' },
    ])
  })

  it('fails the deploy when what is started anew does not pass either, and is gone', async () => {
    const before = await live(await spine.push('test', commitOf('a')))
    await live(await spine.push('test', commitOf('b')))
    spine.answer = 500
    const failing = await goBack(before)
    expect((await spine.log(failing)).at(-1)).toMatch(/status=failed/)
    expect(await isStartedAnew(failing)).toBe(true)
    await until(() => spine.runtime.names().join() === web('v2'))
  })

  it('is started anew by the next life of the server when this one ends right then', async () => {
    const before = await live(await spine.push('test', commitOf('a')))
    await live(await spine.push('test', commitOf('b')))
    spine.answer = 500
    const back = await goBack(before)
    await until(() => isStartedAnew(back))
    await spine.deploys.stop()
    spine.answer = 200
    await spine.succeed()
    await live(back)
    expect((await spine.deploys.get(back)).instancesOf).toBe(back)
  })

  it('goes with its time when whoever goes back to it is told to end', async () => {
    const before = await live(await spine.push('test', commitOf('a')))
    await live(await spine.push('test', commitOf('b')))
    spine.answer = 500
    const ended = await goBack(before)
    await until(async () => (await spine.deploys.get(ended)).step === 'check')
    await spine.deploys.cancel(ended, 'ada')
    expect((await spine.log(ended)).at(-1)).toMatch(/status=cancelled/)
    spine.answer = 200
    const back = await goBack(before)
    await live(back)
    expect((await spine.deploys.get(back)).instancesOf).not.toBe(back)
  })

  it('is over for what was started with a value that leaked', async () => {
    const before = await live(await spine.push('test', commitOf('a')))
    await live(await spine.push('test', commitOf('b')))
    await spine.db.transaction((tx) => spine.deploys.endBegun(tx, { releaseIds: [before], by: 'ada' }))
    const back = await goBack(before)
    await live(back)
    expect((await spine.deploys.get(back)).instancesOf).toBe(back)
    await until(() => !spine.runtime.names().includes(web('v1')))
  })

  it('never begins for what was started with a value that leaked before the swap', async () => {
    const before = await live(await spine.push('test', commitOf('a')))
    await spine.db.query('update releases set variables_revoked_at = clock_timestamp() where id = $1', [before])
    await live(await spine.push('test', commitOf('b')))
    await until(() => !spine.runtime.names().includes(web('v1')))
    const back = await goBack(before)
    await live(back)
    expect((await spine.deploys.get(back)).instancesOf).toBe(back)
  })

  it('starts the workers of what serves again', async () => {
    spine.config = {
      ...spine.config,
      processes: [
        { name: 'web', run: null, instances: 1 },
        { name: 'worker', run: 'work', instances: 1 },
      ],
    }
    const before = await live(await spine.push('test', commitOf('a')))
    await until(() => spine.runtime.names().includes(worker('v1')))
    const ofThen = await containerOf(worker('v1'))
    await live(await spine.push('test', commitOf('b')))
    const ended = async () => (await spine.runtime.inspect(ofThen))?.state !== 'running'
    await until(async () => (await ended()) && spine.runtime.names().includes(worker('v2')))
    await live(await goBack(before))
    const runs = async () => {
      const found = (await spine.runtime.survey()).find(({ name }) => name === worker('v1'))
      return found?.state === 'running'
    }
    await until(runs)
    await until(() => !spine.runtime.names().includes(worker('v2')))
  })
})

describe('what is warm', () => {
  it('stays so for as long as it is checked', async () => {
    spine.config = {
      ...spine.config,
      keepWarmMs: 6_000,
      health: { ...spine.config.health, path: '/', deadlineMs: 15_000 },
    }
    const before = await live(await spine.push('test', commitOf('a')))
    await live(await spine.push('test', commitOf('b')))
    spine.answer = 500
    const back = await goBack(before)
    await delay(7_000)
    spine.answer = 200
    await live(back)
    expect((await spine.deploys.get(back)).instancesOf).not.toBe(back)
  })

  it('is what takes requests, of another release than the one that serves', async () => {
    spine.config = {
      ...{ ...spine.config, keepWarmMs: 600_000 },
      processes: [
        { name: 'web', run: null, instances: 1 },
        { name: 'worker', run: 'work', instances: 1 },
      ],
    }
    await live(await spine.push('test', commitOf('a')))
    const warm = async () =>
      spine.db.query(
        `select r.number, i.process from instances i join releases r on r.id = i.release_id where i.warm_until > now()`,
      )
    await live(await spine.request('restart', 'test', commitOf('a')))
    expect(await warm()).toEqual([])
    await live(await spine.push('test', commitOf('b')))
    expect(await warm()).toEqual([{ number: 1, process: 'web' }])
  })
})

describe('watch', () => {
  let failed = 0
  /** Who counts, and has not said that it is enough. */
  let counting = 0
  const failedAnswers: FailedAnswers = {
    count() {
      const before = failed
      counting += 1
      return { read: () => failed - before, end: () => void (counting -= 1) }
    },
  }
  interface Counted {
    readonly total: number
    readonly failed: number
  }
  /** How often the watch has looked at an instance, by its address and port. */
  let looks: Map<string, number>
  /** After it was looked at for the first time: what came before that does not count. */
  const answered = async (deployId: number, counted: Counted): Promise<void> => {
    const targets = await targetsOf(deployId)
    const before = new Map(looks)
    await until(() => targets.every((target) => (looks.get(keyOf(target)) ?? 0) > (before.get(keyOf(target)) ?? 0)))
    await answeredUnwatched(deployId, counted)
  }
  const answeredUnwatched = async (deployId: number, counted: Counted): Promise<void> => {
    for (const target of await targetsOf(deployId)) spine.router.setAsked(target, counted.total)
    failed = counted.failed
  }
  const targetsOf = async (deployId: number): Promise<Target[]> =>
    (await spine.deploys.listInstances((await spine.environment('test')).id))
      .filter((instance) => instance.deployId === deployId)
      .map(({ address, port }) => ({ address: address as string, port }))
  const keyOf = ({ address, port }: Target): string => `${address}:${port}`
  beforeEach(async () => {
    failed = 0
    counting = 0
    looks = new Map()
    const readUse = spine.router.readUse.bind(spine.router)
    spine.router.readUse = async (target) => {
      const use = await readUse(target)
      looks.set(keyOf(target), (looks.get(keyOf(target)) ?? 0) + 1)
      return use
    }
    spine.config = { ...spine.config, watch: { ms: 60_000, errors: 0.2 } }
    await spine.deploys.stop()
    await spine.succeed((tools) => ({ ...tools, failedAnswers }))
  })
  const reverted = (id: number) => until(async () => (await spine.deploys.get(id)).state === 'reverted')

  it('goes back from what crashes, by itself, and says why', async () => {
    await live(await spine.push('test', commitOf('a')))
    const bad = await spine.push('test', commitOf('b'))
    await live(bad)
    expect((await spine.log(bad)).join('\n')).toContain('Watched for 1 min: ')
    spine.runtime.end(await containerOf(web('v2')), { exitCode: 3 })
    await reverted(bad)
    const { error, serves } = await spine.deploys.get(bad)
    expect(error).toEqual({ code: 'reverted', message: 'web.1 ended with exit code 3 while it was watched.' })
    expect(serves).toBe(false)
    expect((await spine.log(bad)).slice(-3)).toEqual([
      'error: web.1 ended with exit code 3 while it was watched. What served before serves again, as v3.',
      'error: Its log: slipway logs test -a shop --release v2',
      `machine: slipway: deploy=${bad} environment=test release=v2 status=reverted`,
    ])
    const [back] = await spine.deploys.list((await spine.environment('test')).id, { limit: 1 })
    expect(back).toMatchObject({ kind: 'rollback', state: 'live', requestedBy: 'slipway', reverts: bad, holds: false })
    const events = await spine.db.query<{ kind: string }>('select kind, actor from events where deploy_id = $1', [bad])
    expect(events).toContainEqual({ kind: 'deploy.reverted', actor: 'slipway' })
    await until(() => !spine.runtime.names().includes(web('v2')))
  })

  it('is over with the way back: what did harm is started for its own address alone, and nobody goes back to it', async () => {
    await live(await spine.push('test', commitOf('a')))
    const bad = await spine.push('test', commitOf('b'))
    await live(bad)
    spine.runtime.end(await containerOf(web('v2')), { exitCode: 3 })
    await reverted(bad)
    const { id } = await spine.environment('test')
    // Its container goes before its row.
    await until(async () => (await spine.deploys.listInstances(id)).every(({ deployId }) => deployId !== bad))
    expect(spine.runtime.names()).not.toContain(web('v2'))
    const releaseId = (await spine.deploys.get(bad)).releaseId ?? 0
    const reads = makeDeployReads({ db: spine.db })
    expect(await reads.hasReleaseAddress({ environmentId: id, live: false, releaseId })).toBe(true)
    expect(await spine.deploys.askForRelease('v2--test--shop.localhost')).toMatchObject({ kind: 'starting' })
    const wish = { release: 2, keepVariables: false, hold: true }
    await expect(makeMoves(spine).rollbacks.plan(await spine.environment('test'), wish)).rejects.toMatchObject({
      code: 'conflict',
      message: 'v2 was gone back from by itself while it was watched.',
      hint: 'To try its commit once more: slipway deploy test --commit bbbbbbbbbb -a shop',
    })
  })

  it('is of what serves, in environments that run, and ends once; nothing is gone back from that does not serve', async () => {
    const before = await live(await spine.push('test', commitOf('a')))
    const replaced = await spine.push('test', commitOf('b'))
    await live(replaced)
    const serving = await spine.push('test', commitOf('c'))
    await live(serving)
    const watched = async () => (await listWatched(spine.db)).map(({ id }) => id)
    expect(await watched()).toEqual([serving])
    const reverting = await spine.request('rollback', 'test', commitOf('a'), {
      ...{ from: { releaseId: before, variables: 'release' }, reverts: replaced },
    })
    expect(await spine.log(reverting)).toContain(
      'error: test was to go back from what does not serve any more: something newer took its place.',
    )
    expect((await spine.deploys.get(reverting)).state).toBe('superseded')
    await spine.deploys.stopServing((await spine.environment('test')).id, 'ada')
    expect(await watched()).toEqual([])
    const end = () => spine.db.transaction((tx) => endWatch(tx, serving, 'because'))
    expect([await end(), await end()]).toEqual([true, false])
  })

  it('goes back in a locked environment, too, and from one while another cannot', async () => {
    const locks = makeLocks({ db: spine.db, deploys: spine.deploys, mask: async (_id, text) => text })
    const deploy = async (name: 'test' | 'live', letter: string): Promise<number> => {
      const id = await spine.deploy(name, commitOf(letter))
      await live(id)
      return id
    }
    await deploy('test', 'a')
    const stuck = await deploy('test', 'b')
    await deploy('live', 'c')
    const bad = await deploy('live', 'd')
    await locks.lock(
      await spine.environment('live'),
      { reason: 'sale', waits: true, allowsRollbacks: false },
      { by: 'ada' },
    )
    const waiting = await spine.deploy('live', commitOf('e'))
    // Of one the image was given up.
    await spine.db.query('update builds set image_removed_at = now() where commit = $1', [commitOf('a')])
    spine.runtime.end(await containerOf(web('v2')), { exitCode: 3 })
    spine.runtime.end(await containerOf(web('v2').replace('test--', '')), { exitCode: 4 })
    await reverted(bad)
    expect([(await spine.deploys.get(stuck)).state, (await spine.deploys.get(waiting)).state]).toEqual([
      'live',
      'waiting',
    ])
  })

  it('goes back from what answers with errors above its share, and over a restart', async () => {
    await live(await spine.push('test', commitOf('a')))
    const bad = await spine.push('test', commitOf('b'))
    await live(bad)
    await answered(bad, { total: 19, failed: 19 })
    await delay(1_500)
    expect((await spine.deploys.get(bad)).state).toBe('live')
    await spine.deploys.stop()
    failed = 0
    await spine.succeed((tools) => ({ ...tools, failedAnswers }))
    await answered(bad, { total: 19 + 40, failed: 9 })
    await reverted(bad)
    expect((await spine.deploys.get(bad)).error?.message).toContain('9 of 40 answers (23 %)')
  })

  it('goes back from what crashed while no Slipway was there, though the engine has brought it back', async () => {
    await live(await spine.push('test', commitOf('a')))
    const bad = await spine.push('test', commitOf('b'))
    await live(bad)
    await spine.deploys.stop()
    spine.runtime.endOnce(await containerOf(web('v2')))
    await spine.succeed((tools) => ({ ...tools, failedAnswers }))
    await reverted(bad)
    expect((await spine.deploys.get(bad)).error?.message).toBe('web.1 ended while it was watched.')
  })

  it.each(['v1', 'v2'])('blames it, too, when somebody removed %s', async (removed) => {
    await live(await spine.push('test', commitOf('a')))
    const bad = await spine.push('test', commitOf('b'))
    await live(bad)
    const container = await containerOf(web('v2'))
    await spine.runtime.remove(await containerOf(web(removed)))
    if (removed === 'v1') spine.runtime.end(container, { exitCode: 3 })
    await reverted(bad)
  })

  it('does not blame it for an engine that went down with all that ran, but for what it does after that', async () => {
    spine.config = {
      ...spine.config,
      processes: [
        { name: 'web', run: null, instances: 1 },
        { name: 'worker', run: 'work', instances: 1 },
      ],
    }
    await live(await spine.push('test', commitOf('a')))
    const watched = await spine.push('test', commitOf('b'))
    await live(watched)
    const { id } = await spine.environment('test')
    const endCounts = async () =>
      (await spine.deploys.listInstances(id)).filter((one) => one.deployId === watched).map(({ endCount }) => endCount)
    await until(() => spine.runtime.names().includes(worker('v2')))
    await delay(1_000)
    spine.runtime.restartEngine()
    await until(async () => (await endCounts()).join() === '1,1')
    await delay(2_500)
    expect((await spine.deploys.get(watched)).state).toBe('live')
    spine.runtime.end(await containerOf(web('v2')), { exitCode: 3 })
    await reverted(watched)
    expect((await spine.deploys.get(watched)).error?.message).toBe('web.1 ended with exit code 3 while it was watched.')
  })

  it('does not blame it for what could not be answered meanwhile', async () => {
    const deploy = async (name: 'test' | 'live', letter: string): Promise<number> => {
      const id = await spine.deploy(name, commitOf(letter))
      await live(id)
      return id
    }
    await deploy('test', 'a')
    const watched = await deploy('test', 'b')
    await answered(watched, { total: 40, failed: 0 })
    spine.runtime.setAway(true)
    await answered(watched, { total: 80, failed: 40 })
    await delay(1_500)
    spine.runtime.setAway(false)
    // Known to the engine before anybody was told of it.
    spine.runtime.restartEngine()
    await delay(2_500)
    const newest = async () => (await spine.deploys.list((await spine.environment('test')).id, { limit: 1 }))[0]?.id
    expect(await newest()).toBe(watched)
    expect(counting).toBe(1)
    // Its end of then is told late.
    await spine.db.query(`update instances set end_count = end_count + 1 where deploy_id = $1`, [watched])
    await delay(1_500)
    expect(await newest()).toBe(watched)
    await answered(watched, { total: 120, failed: 80 })
    await reverted(watched)
    expect((await spine.deploys.get(watched)).error?.message).toContain('40 of 40 answers')
  })

  it('goes on when it is started anew, and so does what is warm', async () => {
    await live(await spine.push('test', commitOf('a')))
    const bad = await spine.push('test', commitOf('b'))
    await live(bad)
    const warm = await containerOf(web('v1'))
    const restarted = await spine.request('restart', 'test', commitOf('b'))
    await live(restarted)
    await until(() => !spine.runtime.names().includes(web('v2')))
    await answered(restarted, { total: 40, failed: 20 })
    await reverted(bad)
    expect((await spine.deploys.get(bad)).error?.message).toContain('20 of 40 answers')
    const [back] = await spine.deploys.list((await spine.environment('test')).id, { limit: 1 })
    expect(back).toMatchObject({ kind: 'rollback', state: 'live', reverts: bad })
    expect(await containerOf(web('v1'))).toBe(warm)
    await until(() => counting === 0)
    await delay(1_500)
    expect(counting).toBe(0)
  })

  it('tells, and leaves it, when nothing is warm any more to go back to', async () => {
    const before = await live(await spine.push('test', commitOf('a')))
    const bad = await spine.push('test', commitOf('b'))
    await live(bad)
    await spine.db.transaction((tx) => spine.deploys.endBegun(tx, { releaseIds: [before], by: 'ada' }))
    spine.runtime.end(await containerOf(web('v2')), { exitCode: 3 })
    const told = () =>
      spine.db.query<{ message: string }>(
        `select data ->> 'message' as message from events where deploy_id = $1 and kind = 'deploy.not-reverted'`,
        [bad],
      )
    await until(async () => (await told()).length > 0)
    await delay(1_500)
    expect(await told()).toEqual([{ message: 'web.1 ended with exit code 3 while it was watched.' }])
    expect(await spine.deploys.get(bad)).toMatchObject({ state: 'live', error: null })
  })

  it('leaves alone what behaves, what is not watched any more, and the first that serves', async () => {
    spine.config = { ...spine.config, watch: { ms: 4_000, errors: 0.2 } }
    const first = await spine.push('test', commitOf('a'))
    await live(first)
    // Longer than the watch would take to look, if it did.
    await delay(1_500)
    await answeredUnwatched(first, { total: 40, failed: 40 })
    await delay(1_200)
    expect((await spine.deploys.get(first)).state).toBe('live')
    expect((await spine.log(first)).join('\n')).not.toContain('Watched')
    failed = 0
    const good = await spine.push('test', commitOf('b'))
    await live(good)
    await answered(good, { total: 40, failed: 8 })
    // Until its watch is over.
    await delay(4_500)
    await answeredUnwatched(good, { total: 80, failed: 48 })
    await delay(1_500)
    expect((await spine.deploys.get(good)).state).toBe('live')
    await until(() => !spine.runtime.names().includes(web('v1')))
  })
})
