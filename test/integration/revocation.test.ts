import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { setTimeout as delay } from 'node:timers/promises'
import { readReleaseSpec } from '../../src/deploys/release-spec.ts'
import { makeEnvironments } from '../../src/environments/index.ts'
import { Secret } from '../../src/kernel/secret.ts'
import {
  makeKeyRotation,
  makeMasks,
  makeReleaseVariables,
  makeRevocation,
  makeSecretsSource,
  makeVars,
  openKeys,
  type Revoked,
} from '../../src/vars/index.ts'
import { makeStatuses } from '../../src/status/index.ts'
import { waitFor } from '../support/slipway.ts'
import { commitOf, makeSpine, type Spine, spineKey } from '../support/spine.ts'

type Name = 'test' | 'live'
const leaked = 'a-value-that-leaked'
const next = 'the-new-value'

let spine: Spine
beforeEach(async () => {
  spine = await makeSpine()
})
afterEach(() => spine.close())

async function set(name: string, value: string, environment: Name = 'test', flags: object = { secret: true }) {
  const { id } = await spine.environment(environment)
  return spine.vars.change(id, { set: [{ name, value, ...flags }], unset: [] }, 'ada')
}
async function wishFor(environment: Name, value: string | null = next, of: number | null = null) {
  const { id, appId } = await spine.environment(environment)
  const [release] = await spine.db.query<{ id: number; number: number }>(
    'select id, number from releases where environment_id = $1 and number = $2',
    [id, of ?? 0],
  )
  return { appId, environmentId: id, environment, name: 'KEY', release: release ?? null, value }
}
const revoke = async (environment: Name, value: string | null = next, of: number | null = null): Promise<Revoked> =>
  spine.revocation.revoke(await wishFor(environment, value, of), 'ada')
async function live(deployId: number): Promise<number> {
  const log = await spine.log(deployId)
  const { state, releaseId } = await spine.deploys.get(deployId)
  expect([state, log]).toEqual(['live', log])
  return releaseId ?? 0
}
/** What a container of the deploy's release gets. */
async function envOf(deployId: number): Promise<Record<string, string>> {
  const spec = await readReleaseSpec(await spine.deploys.get(deployId), spine.tools)
  const { env } = spec.instance({ process: 'web', position: 1, address: null })
  return Object.fromEntries(Object.entries(env).map(([n, v]) => [n, v instanceof Secret ? v.reveal() : v]))
}
const goBack = (releaseId: number): Promise<number> =>
  spine.request('rollback', 'test', commitOf('a'), { from: { releaseId, variables: 'release' }, holds: false })
const events = () =>
  spine.db.query<{ kind: string; environment: string; data: object }>(
    `select kind, environment, data from events where kind = 'vars.revoked' order by id`,
  )
/** Everything that the database holds, as text: what is sealed is not in it. */
async function valueOf(environment: Name): Promise<string | undefined> {
  const { id } = await spine.environment(environment)
  const snapshot = await makeReleaseVariables({ ...parts(), masks: noMasks }).read(spine.db, id)
  return snapshot.find(({ name }) => name === 'KEY')?.value.reveal()
}
const noMasks = { add: async () => undefined }
const parts = () => ({ db: spine.db, keys: spine.keys, freshness: spine.freshness })

describe('a value that leaked', () => {
  it('is told to be revoked to who asks once more, having missed the answer', async () => {
    await set('KEY', leaked)
    await set('KEY', leaked, 'live')
    await revoke('test')
    const hint: unknown = expect.stringMatching(/^ada revoked a value of KEY at 20\S+Z: it may be done\. /)
    await expect(revoke('test')).rejects.toMatchObject({ code: 'bad_request', hint })
    await set('KEY', 'another-leaked-value')
    await revoke('test', null)
    await expect(revoke('test', null)).rejects.toMatchObject({ code: 'not_found', hint })
  })

  it('is replaced in the releases and variables of all environments that have it, and in no other', async () => {
    await set('KEY', leaked)
    await set('OTHER', leaked)
    await set('KEY', leaked, 'live')
    const first = await spine.deploy('test', commitOf('a'))
    const inLive = await spine.deploy('live', commitOf('a'))
    const [old] = [await live(first), await live(inLive)]
    await set('KEY', 'of its own', 'live')
    const second = await spine.deploy('live', commitOf('b'))
    await live(second)
    const ofLive = (await spine.environment('live')).id
    for (const end = Date.now() + 20_000; (await spine.deploys.listInstances(ofLive)).length > 1; await delay(20)) {
      if (Date.now() > end) throw new Error('what served before is still there')
    }

    expect(await revoke('test')).toEqual({
      environments: [
        { environment: 'test', variable: true, releases: 1, running: [{ release: 1, serves: true }] },
        { environment: 'live', variable: false, releases: 1, running: [] },
      ],
      begun: [],
      images: [],
      goingOn: [],
    })
    expect(await envOf(first)).toMatchObject({ KEY: next, OTHER: leaked })
    expect(await envOf(inLive)).toMatchObject({ KEY: next })
    expect(await envOf(second)).toMatchObject({ KEY: 'of its own' })
    expect([await valueOf('test'), await valueOf('live')]).toEqual([next, 'of its own'])
    // Marks say so, too: nothing waits to be applied.
    const { id } = await spine.environment('test')
    expect(
      await spine.db.query(
        `select v.name from variables v join routes t on t.environment_id = v.environment_id join releases r on r.id = t.release_id
         where v.environment_id = $1 and encode(v.mark, 'hex') is distinct from r.variable_marks ->> v.name`,
        [id],
      ),
    ).toEqual([])
    for (const deploy of [await goBack(old), await spine.request('restart', 'test', commitOf('a'))]) {
      await live(deploy)
      expect(await envOf(deploy)).toMatchObject({ KEY: next, OTHER: leaked })
    }
    expect(await events()).toEqual([
      { kind: 'vars.revoked', environment: 'test', data: { name: 'KEY', releases: 1, removed: false } },
      { kind: 'vars.revoked', environment: 'live', data: { name: 'KEY', releases: 1, removed: false } },
    ])
  })

  it('is told of what serves with it, until that is started anew, by whomever', async () => {
    const statuses = makeStatuses({
      db: spine.db,
      commits: { countBetween: async () => null },
      logger: spine.tools.logger,
    })
    const told = async (): Promise<string[]> =>
      (await statuses.list()).flatMap(({ facts, messages }) =>
        messages.some(({ code }) => code === 'revoked') ? [facts.environment] : [],
      )
    for (const environment of ['test', 'live'] as const) {
      await set('KEY', leaked, environment)
      await live(await spine.deploy(environment, commitOf('a')))
    }
    expect(await told()).toEqual([])
    await revoke('test')
    expect((await told()).toSorted()).toEqual(['live', 'test'])
    await live(await spine.request('restart', 'test', commitOf('a')))
    expect(await told()).toEqual(['live'])
    // Slipway starts it again: that container has the new one.
    const [instance] = await spine.deploys.listInstances((await spine.environment('live')).id)
    spine.runtime.end(instance?.containerId ?? '', { exitCode: 1 })
    await waitFor('another container', 20_000, async () => {
      const [now] = await spine.deploys.listInstances((await spine.environment('live')).id)
      return now?.containerId !== instance?.containerId
    })
    expect(await told()).toEqual([])
  })

  it('may be one that only a release still has, and is removed when there is no new one', async () => {
    await set('KEY', leaked)
    const first = await spine.deploy('test', commitOf('a'))
    await live(first)
    await set('KEY', 'changed already')
    expect(await revoke('test', null, 1)).toMatchObject({
      environments: [
        { environment: 'test', variable: false, releases: 1 },
        { environment: 'live', releases: 0 },
      ],
    })
    expect(await envOf(first)).not.toHaveProperty('KEY')
    expect(await valueOf('test')).toBe('changed already')
    await revoke('test', null)
    expect(await valueOf('test')).toBeUndefined()
    await expect(revoke('test')).rejects.toMatchObject({ code: 'not_found', hint: expect.stringContaining('--of v12') })
    await expect(revoke('test', next, 1)).rejects.toMatchObject({ code: 'not_found' })
  })

  it('is refused as its own successor, and whenever somebody sets it again', async () => {
    await set('KEY', leaked)
    await live(await spine.deploy('test', commitOf('a')))
    await expect(revoke('test', leaked)).rejects.toMatchObject({ code: 'bad_request' })
    await revoke('test')
    await expect(set('KEY', leaked)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(/revoked by ada/),
    })
    await expect(set('KEY', leaked, 'live', { build: true })).rejects.toMatchObject({ code: 'conflict' })
    await expect(revoke('test', leaked)).rejects.toMatchObject({ code: 'conflict' })
    await set('OTHER', leaked)
    // Another app's variables are its own affair.
    const environments = makeEnvironments({ db: spine.db })
    await environments.createApp('other')
    const foreign = await environments.get('other', 'test')
    await spine.vars.change(foreign.id, { set: [{ name: 'KEY', value: leaked }], unset: [] }, 'ada')
    // Nor does a release that somebody makes from what they had read before.
    const { id } = await spine.environment('test')
    const variables = makeReleaseVariables({ ...parts(), masks: noMasks })
    const mark = Buffer.alloc(16)
    const before = [{ name: 'KEY', value: new Secret(leaked), secret: true, build: false, mark }]
    const [release] = await spine.db.query<{ id: number }>('select id from releases where environment_id = $1', [id])
    await expect(spine.db.transaction((tx) => variables.keep(tx, release?.id as number, before))).rejects.toMatchObject(
      { code: 'conflict' },
    )
  })

  it('stays masked, also when Slipway was started anew and its key was changed', async () => {
    await set('KEY', leaked)
    await live(await spine.deploy('test', commitOf('a')))
    await revoke('test')
    const maskOf = async (text: string, environment: Name) => {
      const keys = await openKeys(spine.db, spineKey)
      const masks = makeMasks(makeSecretsSource({ db: spine.db, keys }))
      return (await masks.ofEnvironment((await spine.environment(environment)).id)).mask(text)
    }
    expect(await maskOf(`${leaked} and ${next}`, 'test')).toBe('[masked] and [masked]')
    expect(await maskOf(leaked, 'live')).toBe('[masked]')
    const closing = new AbortController().signal
    const { logger } = spine.tools
    const rotation = makeKeyRotation({ ...parts(), keepSecretKey: null, logger, closing })
    await rotation.begin('ada')
    await rotation.run(closing)
    expect(await rotation.countLeft()).toBe(0)
    expect(await maskOf(leaked, 'test')).toBe('[masked]')
    expect(await spine.db.query('select distinct key_id from revoked_values')).toHaveLength(1)
  })

  it('is named where images were built with it', async () => {
    await set('KEY', leaked, 'test', { build: true })
    const first = await spine.deploy('test', commitOf('a'))
    await live(first)
    expect((await revoke('test')).images).toEqual([{ environment: 'test', release: 1 }])
    expect(await envOf(first)).toMatchObject({ KEY: next })
    expect(
      await spine.db.query(
        `select 1 from variables v join releases r on r.environment_id = v.environment_id
         where encode(v.mark, 'hex') is distinct from r.variable_marks ->> v.name`,
      ),
    ).toEqual([])
    const second = await spine.deploy('test', commitOf('a'))
    await live(second)
    expect(spine.builder.args.get((await spine.deploys.get(second)).buildId ?? 0)).toEqual({ KEY: next })
  })

  it('is not named where such an image is gone, nor where the environment is going', async () => {
    await set('KEY', leaked, 'test', { build: true })
    await set('KEY', leaked, 'live', { build: true })
    await live(await spine.deploy('test', commitOf('a')))
    await spine.db.query('update builds set image_removed_at = now()')
    await spine.db.query(`update environments set state = 'removing' where name = 'live'`)
    const { environments, images } = await revoke('test')
    expect(environments.map(({ environment }) => environment)).toEqual(['test'])
    expect(images).toEqual([])
  })

  it('that is too short to be masked may be set again: it is in everybody’s variables', async () => {
    await set('KEY', 'short', 'test', {})
    await revoke('test')
    await set('KEY', 'short', 'test', {})
    expect(await valueOf('test')).toBe('short')
  })

  it('is not taken for what somebody has set meanwhile', async () => {
    await set('KEY', leaked)
    const [changed, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const slow = makeVars({
      ...{ keys: spine.keys, masks: noMasks },
      db: {
        ...spine.db,
        transaction: (work) =>
          spine.db.transaction(async (tx) => {
            const done = await work(tx)
            changed.resolve()
            await gate.promise
            return done
          }),
      },
    })
    const { id } = await spine.environment('test')
    const change = slow.change(id, { set: [{ name: 'KEY', value: 'another one' }], unset: [] }, 'bert')
    await changed.promise
    const refused = expect(revoke('test')).rejects.toMatchObject({
      code: 'conflict',
      message: 'KEY was changed in test meanwhile. Nothing was revoked.',
    })
    // It has read the old value by then.
    await waitFor('the revocation to wait for who changes it', 20_000, async () => {
      const waits = `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      return (await spine.db.query(waits)).length > 0
    })
    gate.resolve()
    await Promise.all([change, refused])
    expect([await valueOf('test'), await events()]).toEqual(['another one', []])
  })

  it('is changed everywhere or nowhere', async () => {
    await set('KEY', leaked)
    const first = await spine.deploy('test', commitOf('a'))
    await live(first)
    const broken = makeRevocation({
      ...{ ...parts(), masks: noMasks, afterTaken: async () => [] },
      endBegun: () => Promise.reject(new Error('the machine goes down')),
    })
    await expect(broken.revoke(await wishFor('test'), 'ada')).rejects.toThrow('goes down')
    expect([await valueOf('test'), (await envOf(first))['KEY'], await events()]).toEqual([leaked, leaked, []])
    await revoke('test')
    expect((await envOf(first))['KEY']).toBe(next)
  })
})

describe('while something is made or started', () => {
  /** Calls `during` between the reading of what a release is to have and its keeping. */
  function whileRead(method: 'read' | 'readOf', during: () => Promise<void>): void {
    const variables = spine.tools.variables as NonNullable<typeof spine.tools.variables>
    const read = variables[method].bind(variables)
    Object.assign(variables, {
      async [method](q: Parameters<typeof read>[0], id: number) {
        const snapshot = await read(q, id)
        if ('inTransaction' in q) await during()
        return snapshot
      },
    })
  }

  /** How far it came when the value was revoked is for the machine to say: it has begun nothing, or ends. */
  async function endsOrIsLive(deployId: number): Promise<void> {
    const log = (await spine.log(deployId)).join('\n')
    const { state } = await spine.deploys.get(deployId)
    expect([state, log]).toEqual(
      state === 'live' ? ['live', log] : ['cancelled', expect.stringContaining('Cancelled by ada, who revoked KEY.')],
    )
  }

  it('no release is made with the value that was read before it was revoked', async () => {
    await set('KEY', leaked)
    let revoked: Promise<Revoked> | null = null
    whileRead('read', async () => {
      revoked ??= revoke('test')
      await delay(300)
    })
    const id = await spine.deploy('test', commitOf('a'))
    await endsOrIsLive(id)
    expect(await (revoked as Promise<Revoked> | null)).toMatchObject({ environments: [{ releases: 1 }, {}] })
    expect((await envOf(id))['KEY']).toBe(next)
    expect(await spine.db.query('select variables_revoked_at from releases')).not.toContainEqual({
      variables_revoked_at: null,
    })
  })

  it('no rollback is', async () => {
    await set('KEY', leaked)
    const old = await live(await spine.deploy('test', commitOf('a')))
    await live(await spine.deploy('test', commitOf('b')))
    let revoked: Promise<Revoked> | null = null
    whileRead('readOf', async () => {
      revoked ??= revoke('test')
      await delay(300)
    })
    const back = await goBack(old)
    await endsOrIsLive(back)
    expect(await (revoked as Promise<Revoked> | null)).toMatchObject({ environments: [{ releases: 3 }, {}] })
    expect((await envOf(back))['KEY']).toBe(next)
  })

  it('no environment is added with a copy of it', async () => {
    await set('KEY', leaked)
    let revoked: Promise<Revoked> | null = null
    const environments = makeEnvironments({
      db: spine.db,
      async copyVariables(tx, which) {
        await spine.vars.copyVariables(tx, which)
        revoked = revoke('test')
        await delay(300)
      },
    })
    await environments.add('shop', { name: 'copy', from: 'test' })
    expect(await (revoked as Promise<Revoked> | null)).toMatchObject({
      environments: expect.arrayContaining([expect.objectContaining({ environment: 'copy', variable: true })]),
    })
  })

  const begin = async (value = leaked): Promise<number> => {
    await set('KEY', value)
    spine.config = {
      ...spine.config,
      releaseCommands: [{ label: 'slow', run: 'sleep 20', on: ['deploy'], timeoutMs: 30_000 }],
    }
    const id = await spine.deploy('test', commitOf('a'))
    await waitFor('its release command', 20_000, async () => (await spine.deploys.get(id)).commandsRan)
    return id
  }

  it('a deploy ends that has begun with it, also when Slipway ends before it could tell it', async () => {
    for (const crash of [false, true]) {
      const id = await begin(`${leaked} ${String(crash)}`)
      const told = makeRevocation({
        ...{ ...parts(), masks: noMasks },
        endBegun: (tx, begun) => spine.deploys.endBegun(tx, begun),
        afterTaken: async (ids) => (crash ? [] : spine.deploys.afterTaken(ids)),
      })
      const { begun } = await told.revoke(await wishFor('test', `${next} ${String(crash)}`), 'ada')
      expect(begun).toEqual([{ deployId: id, environment: 'test', ends: true }])
      if (crash) await spine.restart()
      const log = await spine.log(id)
      expect(log.join('\n')).toContain('Cancelled by ada, who revoked KEY.')
      expect((await spine.deploys.get(id)).state).toBe('cancelled')
    }
  })

  it('one whose traffic is being moved is named', async () => {
    const id = await begin()
    await spine.db.query(`update deploys set step = 'swap' where id = $1`, [id])
    expect((await revoke('test')).begun).toEqual([{ deployId: id, environment: 'test', ends: false }])
    await spine.db.query(`update deploys set step = 'release-commands' where id = $1`, [id])
    // One that starts nothing yet reads what is there when it does.
    await spine.db.query(`update deploys set step = 'build' where id = $1`, [id])
    expect((await revoke('test', 'and another one')).begun).toEqual([])
    await spine.db.query(`update deploys set step = 'release-commands' where id = $1`, [id])
    await spine.deploys.cancel(id, 'ada')
    await spine.log(id)
  })

  /** v1 and v2 were live; only v2 runs. */
  const twoReleases = async (): Promise<void> => {
    await set('KEY', leaked)
    await live(await spine.deploy('test', commitOf('a')))
    await live(await spine.deploy('test', commitOf('b')))
    await waitFor('v1 to be retired', 20_000, async () => (await stateOf(1)) === 'retired')
  }
  const stateOf = async (number: number): Promise<string | undefined> => {
    const rows = await spine.db.query<{ state: string }>(
      'select i.state from instances i join releases r on r.id = i.release_id where r.number = $1 order by i.id desc',
      [number],
    )
    return rows[0]?.state
  }
  const ask = () => spine.deploys.askForRelease('v1--test--shop.localhost')

  it('an old release that is awake goes to sleep, and wakes without it', async () => {
    await twoReleases()
    await ask()
    await waitFor('v1 to be awake', 20_000, async () => (await stateOf(1)) === 'awake')
    const { environments } = await revoke('test')
    expect(environments[0]?.running).toEqual([
      { release: 1, serves: false },
      { release: 2, serves: true },
    ])
    await waitFor('v1 to be retired', 20_000, async () => (await stateOf(1)) === 'retired')
    expect(await ask()).toMatchObject({ kind: 'starting' })
    await waitFor('v1 to be awake', 20_000, async () => (await stateOf(1)) === 'awake')
  })

  it('none is woken with what was read before', async () => {
    await twoReleases()
    const variables = spine.tools.variables as NonNullable<typeof spine.tools.variables>
    const ofRelease = variables.ofRelease.bind(variables)
    let revoked: Promise<Revoked> | null = null
    Object.assign(variables, {
      async ofRelease(id: number) {
        const read = await ofRelease(id)
        await (revoked ??= revoke('test'))
        return read
      },
    })
    await ask()
    await waitFor('it to be revoked', 20_000, () => revoked !== null)
    await (revoked as Promise<Revoked> | null)
    await delay(500)
    expect(await stateOf(1)).toBe('retired')
    expect(await ask()).toMatchObject({ kind: 'starting' })
    await waitFor('v1 to be awake', 20_000, async () => (await stateOf(1)) === 'awake')
  })
})

describe('between the reading of variables and the start', () => {
  const signal = new AbortController().signal
  /** A container of each kind, as it would be started now. */
  async function readAll(deployId: number) {
    const spec = await readReleaseSpec(await spine.deploys.get(deployId), spine.tools)
    const { id } = await spine.environment('test')
    return {
      instance: spec.instance({ process: 'web', position: 7, address: null }),
      command: spec.command({ label: 'migrations', run: 'true', on: ['deploy'], timeoutMs: 1_000 }, 6),
      job: spec.job({ runId: 7, label: 'report' }),
      run: (await spine.deploys.oneOff(id, '7')).container,
    }
  }
  const keyOf = (containerId: string): string => {
    const value = spine.runtime.envOf(containerId)['KEY']
    return value instanceof Secret ? value.reveal() : (value ?? '')
  }
  const refused = { code: 'unavailable', message: expect.stringContaining('was revoked') }

  it('what runs beside the instances goes on with it, and is named', async () => {
    await set('KEY', leaked)
    const id = await spine.deploy('test', commitOf('a'))
    await live(id)
    const { command, ...beside } = await readAll(id)
    for (const container of [command, beside.job, beside.run]) await spine.runtime.start(container, signal)
    const ended = await spine.runtime.start({ ...beside.job, name: `${beside.job.name}-ended` }, signal)
    spine.runtime.end(ended.containerId)
    const { goingOn } = await revoke('test')
    expect(goingOn).toEqual([
      { environment: 'test', release: 1, job: 'report' },
      { environment: 'test', release: 1, job: null },
    ])
    // Those that are started from now on have the next one.
    const { job } = await readAll(id)
    await spine.runtime.start({ ...job, name: `${job.name}-next` }, signal)
    const { releaseId } = await spine.deploys.get(id)
    expect(await spine.deploys.afterTaken([releaseId ?? 0])).toEqual(goingOn)
    expect((await revoke('test', null)).goingOn).toHaveLength(3)
    await set('KEY', leaked.toUpperCase(), 'live')
    await live(await spine.deploy('live', commitOf('a')))
    expect((await revoke('live', 'another')).goingOn).toEqual([])
  })

  it('what goes on is not known while the engine does not answer', async () => {
    await set('KEY', leaked)
    await live(await spine.deploy('test', commitOf('a')))
    spine.runtime.setAway(true)
    expect((await revoke('test')).goingOn).toBeNull()
    spine.runtime.setAway(false)
  })

  it('nothing starts with what was revoked meanwhile, whatever starts it', async () => {
    await set('KEY', leaked)
    const id = await spine.deploy('test', commitOf('a'))
    await live(id)
    const before = await readAll(id)
    await revoke('test')
    for (const container of Object.values(before)) {
      await expect(spine.runtime.start(container, signal)).rejects.toMatchObject(refused)
    }
    for (const container of Object.values(await readAll(id))) {
      expect(keyOf((await spine.runtime.start(container, signal)).containerId)).toBe(next)
    }
  })

  it('what was just being started has started, or not, when it is said to be revoked', async () => {
    await set('KEY', leaked)
    const id = await spine.deploy('test', commitOf('a'))
    await live(id)
    const { job } = await readAll(id)
    const order: string[] = []
    const begun = Promise.withResolvers<void>()
    const starting = job.startUnlessRefused?.(async () => {
      begun.resolve()
      await delay(600)
      order.push('started')
    })
    await begun.promise
    await revoke('test').then(() => order.push('revoked'))
    expect(order).toEqual(['started', 'revoked'])
    expect(await starting).toBeNull()
    const failing = (await readAll(id)).job.startUnlessRefused?.(() => Promise.reject(new Error('the engine is away')))
    await expect(failing).rejects.toThrow('the engine is away')
  })

  it('nor right before it is committed; and when it is not, what is read anew does', async () => {
    await set('KEY', leaked)
    const id = await spine.deploy('test', commitOf('a'))
    await live(id)
    const { run: before, ...others } = await readAll(id)
    const starting: Promise<unknown>[] = []
    const broken = makeRevocation({
      ...{ ...parts(), masks: noMasks, afterTaken: async () => [] },
      async endBegun() {
        const { job } = await readAll(id)
        const starts = [before, job].map((container) => spine.runtime.start(container, signal))
        starting.push(...starts.map((start) => expect(start).rejects.toMatchObject(refused)))
        await delay(100)
        expect(spine.runtime.names()).toHaveLength(1)
        throw new Error('the machine goes down')
      },
    })
    await expect(broken.revoke(await wishFor('test'), 'ada')).rejects.toThrow('goes down')
    await Promise.all(starting)
    await expect(spine.runtime.start(others.command, signal)).rejects.toMatchObject(refused)
    const { command } = await readAll(id)
    expect(keyOf((await spine.runtime.start(command, signal)).containerId)).toBe(leaked)
  })

  it('what ends is started again without it, by Slipway and not by the engine', async () => {
    await set('KEY', leaked)
    const id = await spine.deploy('test', commitOf('a'))
    await live(id)
    const environmentId = (await spine.environment('test')).id
    const find = async () => (await spine.deploys.listInstances(environmentId))[0]
    const first = (await find())?.containerId ?? ''
    expect(spine.runtime.kept.has(first)).toBe(true)
    const start = spine.runtime.start.bind(spine.runtime)
    let revoked: Promise<Revoked> | null = null
    Object.assign(spine.runtime, {
      async start(...given: Parameters<typeof start>) {
        await (revoked ??= revoke('test'))
        return start(...given)
      },
    })
    // The first attempt has read them before.
    spine.runtime.end(first)
    await waitFor('it to be started again', 20_000, async () => {
      const now = await find()
      return now?.containerId !== first && now?.downSince === null
    })
    const second = (await find())?.containerId ?? ''
    expect([keyOf(first === second ? '' : second), spine.runtime.kept.has(second)]).toEqual([next, true])
    expect(spine.runtime.names()).toHaveLength(1)
  })

  it('what serves goes on with it, and is not brought back with it: also when Slipway ends before it could tell the engine', async () => {
    await set('KEY', leaked)
    const id = await spine.deploy('test', commitOf('a'))
    await live(id)
    const environmentId = (await spine.environment('test')).id
    const [instance] = await spine.deploys.listInstances(environmentId)
    const containerId = instance?.containerId ?? ''
    const crashed = makeRevocation({
      ...{ ...parts(), masks: noMasks, afterTaken: async () => [] },
      endBegun: (tx, begun) => spine.deploys.endBegun(tx, begun),
    })
    await crashed.revoke(await wishFor('test'), 'ada')
    expect([keyOf(containerId), spine.runtime.kept.has(containerId)]).toEqual([leaked, true])
    await spine.restart()
    expect([keyOf(containerId), spine.runtime.kept.has(containerId)]).toEqual([leaked, false])
    // Once is enough, and one that has the new value is the engine's to bring back.
    expect(await spine.deploys.findDifferences()).toEqual([])
    await live(await spine.request('restart', 'test', commitOf('a')))
    const restarted = (await spine.deploys.listInstances(environmentId)).find(({ state }) => state === 'serving')
    expect([keyOf(restarted?.containerId ?? ''), spine.runtime.kept.has(restarted?.containerId ?? '')]).toEqual([
      ...[next, true],
    ])
    await revoke('test', 'a third value')
    expect(spine.runtime.kept.has(restarted?.containerId ?? '')).toBe(false)
  })
})
