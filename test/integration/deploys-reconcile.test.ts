import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { reconcile } from '../../src/deploys/level/reconcile.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { SlipwayError } from '../../src/kernel/errors.ts'
import { labelNames } from '../../src/runtime/index.ts'
import { waitFor } from '../support/slipway.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine

beforeEach(async () => {
  spine = await makeSpine()
})
afterEach(() => spine.close())

const v1 = 'slw-spine-test--shop-v1-1'
const limits = { memoryBytes: 64 * 1024 * 1024, cpus: 1, pids: 64 }
const inElevenMinutes = { ...systemClock, now: () => new Date(Date.now() + 11 * 60_000) }

const container = (name: string, labels: Record<string, string>) =>
  spine.runtime.start(
    { name, image: `sha256:${'b'.repeat(64)}`, labels, env: {}, address: null, limits },
    AbortSignal.timeout(5000),
  )

describe('reconciling', () => {
  it('removes what a deploy that has ended left, and strangers with our label only when they are old', async () => {
    const id = await spine.push('test', commitOf('a'))
    await spine.log(id)
    await container('left-command', { [labelNames.kind]: 'command', [labelNames.deploy]: String(id) })
    await container('stranger', {})
    await container('a-build', { [labelNames.kind]: 'build', [labelNames.deploy]: String(id) })
    spine.runtime.addForeign('foreign')
    expect(await reconcile(spine.tools)).toMatchObject({ removed: 1, started: 0 })
    expect(spine.runtime.names()).toEqual([v1, 'stranger', 'a-build', 'foreign'])
    expect(await reconcile({ ...spine.tools, clock: inElevenMinutes })).toMatchObject({ removed: 1 })
    expect(spine.runtime.names()).toEqual([v1, 'a-build', 'foreign'])
  })

  it('leaves the containers of a running deploy alone, however old', async () => {
    let open = (): void => undefined
    const reached = new Promise<void>((reach) => {
      spine.onBuild = () => (reach(), new Promise<void>((resolve) => (open = resolve)))
    })
    const id = await spine.push('test', commitOf('a'))
    await reached
    await container('its-command', { [labelNames.kind]: 'command', [labelNames.deploy]: String(id) })
    await reconcile({ ...spine.tools, clock: inElevenMinutes })
    expect(spine.runtime.names()).toEqual(['its-command'])
    open()
    await spine.log(id)
  })

  it('has the engine keep what it started again', async () => {
    await spine.log(await spine.push('test', commitOf('a')))
    const [before] = await spine.runtime.list()
    await spine.deploys.stop()
    await spine.runtime.remove(before?.containerId ?? '')
    expect(await reconcile(spine.tools)).toMatchObject({ started: 1 })
    const [after] = await spine.runtime.list()
    expect(after).toMatchObject({ name: v1, address: before?.address })
    expect(spine.runtime.kept.has(after?.containerId ?? '')).toBe(true)
    expect(await reconcile(spine.tools)).toMatchObject({ started: 0 })
  })
})

describe('routes', () => {
  it('lead to the page that says so while an instance cannot be started again, and back to it when it can', async () => {
    const { id: environmentId } = await spine.environment('test')
    const change = { set: [{ name: 'TOKEN', value: 'hunter2-hunter2', secret: true }], unset: [] }
    await spine.vars.change(environmentId, change, 'ada')
    const deploy = await spine.deploys.get(await spine.push('test', commitOf('a')))
    await spine.log(deploy.id)
    const target = async () => (await spine.router.read()).keys.get(`e${deploy.environmentId}`)
    const serving = await target()
    expect(serving).toMatchObject({ size: 1 })
    await spine.deploys.stop()
    await spine.runtime.remove((await spine.runtime.list())[0]?.containerId ?? '')
    const start = () => Promise.reject(new SlipwayError('start_failed', 'No such thing: hunter2-hunter2\u001b[2J.'))
    await reconcile({ ...spine.tools, runtime: { ...spine.runtime, start } })
    expect(await target()).toEqual({ state: 'failed' })
    // Everybody who sees the status reads it.
    const [down] = await spine.deploys.listInstances(environmentId)
    expect(down?.startError).toMatch(/^No such thing: \S+\^\[\[2J\.$/)
    expect(down?.startError).not.toContain('hunter2')
    await spine.restart()
    await waitFor(
      'the traffic to be back',
      5_000,
      async () => JSON.stringify(await target()) === JSON.stringify(serving),
    )
  })
})

describe('while Slipway runs', () => {
  const idOf = async (): Promise<string | undefined> => (await spine.runtime.list())[0]?.containerId
  const isBack = (before: string | undefined) => async (): Promise<boolean> => {
    const [now] = await spine.runtime.list()
    return now !== undefined && now.containerId !== before && now.state === 'running'
  }

  it('starts an instance again that somebody removed, but not for ever as fast as it goes', async () => {
    await spine.log(await spine.push('test', commitOf('a')))
    const before = await idOf()
    await spine.runtime.remove(before ?? '')
    await waitFor('the instance to be back', 30_000, isBack(before))
    await waitFor('it to be kept', 30_000, async () => spine.runtime.kept.has((await idOf()) ?? ''))
    const second = await idOf()
    const [{ dueMs } = { dueMs: 0 }] = await spine.db.query<{ dueMs: number }>(
      `select extract(epoch from next_start_at - now()) * 1000 as "dueMs" from instances`,
    )
    expect(Number(dueMs)).toBeLessThanOrEqual(1_000)
    // As after its ninth start in a row.
    await spine.db.query(`update instances set start_attempts = 9, next_start_at = now() + interval '3 seconds'`)
    await spine.runtime.remove(second ?? '')
    await systemClock.sleep(1_500)
    expect(await idOf()).toBeUndefined()
    await waitFor('the instance to be back again', 30_000, isBack(second))
    expect(await spine.db.query('select start_attempts as attempts from instances')).toEqual([{ attempts: 10 }])
  })

  it('starts an instance again that somebody stopped: the engine does not', async () => {
    await spine.log(await spine.push('test', commitOf('a')))
    const before = await idOf()
    spine.runtime.end(before ?? '', { exitCode: 137 })
    await waitFor('the instance to be back', 30_000, isBack(before))
  })
})
