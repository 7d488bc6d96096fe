import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { readReleaseSpec } from '../../src/deploys/release-spec.ts'
import { findAskedRelease } from '../../src/deploys/wake/asked-store.ts'
import { insertWaking, recordAsleep, recordAwake } from '../../src/deploys/wake/awake-store.ts'
import { makeEnvironments } from '../../src/environments/index.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { SlipwayError } from '../../src/kernel/errors.ts'
import { Secret } from '../../src/kernel/secret.ts'
import { labelNames } from '../../src/runtime/index.ts'
import { makeProtections } from '../../src/protection/index.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

/* Releases that do not run any more, asked for at their own addresses. */

let spine: Spine
let id: number
let hasMemory: boolean
/** What happens between the asking for a release and its start. */
let onMemory: () => Promise<void>

beforeEach(async () => {
  hasMemory = true
  onMemory = async () => undefined
  spine = await makeSpine({
    releaseIdleMs: 1_000,
    memory: {
      async assertForStart() {
        await onMemory()
        if (!hasMemory) throw new SlipwayError('unavailable', 'The server has too little memory to start it.')
        return () => undefined
      },
    },
  })
  id = (await spine.environment('test')).id
})
afterEach(() => spine.close())

const goLive = async (...commits: string[]): Promise<void> => {
  for (const commit of commits)
    expect((await spine.log(await spine.push('test', commitOf(commit)))).at(-1)).toMatch(/status=live$/)
}
const until = async (what: string, done: () => boolean | Promise<boolean>): Promise<void> => {
  for (const end = Date.now() + 20_000; !(await done()); await new Promise((resolve) => setTimeout(resolve, 20))) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`)
  }
}
const ask = async (host: string): Promise<string> => {
  const answer = await spine.deploys.askForRelease(host)
  return answer.kind === 'refused' ? answer.why : answer.kind
}
const v = (number: number): string => `v${number}--test--shop.localhost`
const hosts = async (): Promise<string[]> => [...(await spine.router.read()).hosts.keys()]
const leads = async (number: number): Promise<boolean> => (await hosts()).includes(v(number))
const isAlone = (): boolean => spine.runtime.names().length === 1
/** v1 and v2 were live; v2 serves, and nothing else runs. */
const twoReleases = async (): Promise<void> => {
  await goLive('a', 'b')
  await until('v1 is retired', async () => isAlone() && !(await leads(1)) && (await states(1)) === 'retired')
}
const states = async (number: number): Promise<string> => {
  const rows = await spine.db.query<{ state: string }>(
    'select i.state from instances i join releases r on r.id = i.release_id where r.number = $1 order by i.id',
    [number],
  )
  return rows.map(({ state }) => state).join(' ')
}
const wake = async (number: number): Promise<void> => {
  expect(await ask(v(number))).toBe('starting')
  await until(`v${number} is awake`, () => leads(number))
}
/** Whose set a key leads to, as address:port. */
const targetOf = async (number: number) => {
  const { keys, sets } = await spine.router.read()
  const [row] = await spine.db.query<{ id: number }>('select id from releases where number = $1', [number])
  const to = keys.get(`r${row?.id}`)
  return to !== undefined && 'set' in to ? sets.get(to.set)?.[0] : undefined
}
const use = async (number: number, open: number | null): Promise<void> => {
  const target = await targetOf(number)
  if (target === undefined) throw new Error(`v${number} is not led to`)
  spine.router.setOpenConnections(target, open)
}

/** None goes to sleep for that nobody uses it, until that is called. */
const keepAwake = (): (() => void) => {
  const readUse = spine.router.readUse.bind(spine.router)
  spine.router.readUse = async (target) => ({ ...(await readUse(target)), open: 1 })
  return () => void (spine.router.readUse = readUse)
}

describe('a release that does not run', () => {
  it('is not known when it never was, never went live, or has no address', async () => {
    await goLive('a', 'b')
    spine.config = { ...spine.config, port: 1, health: { ...spine.config.health, deadlineMs: 100 } }
    await spine.log(await spine.push('test', commitOf('c')))
    expect(await Promise.all([v(3), v(4), 'v1--shop.localhost', 'x', ''].map(ask))).toEqual(Array(5).fill('unknown'))
    const others = [v(0), 'v1--test--shop.example.org', 'v01--test--shop.localhost', v(9_999_999_999)]
    expect(await Promise.all(others.map(ask))).toEqual(Array(4).fill('unknown'))
  })

  it('is gone when its image is', async () => {
    await goLive('a', 'b')
    await until('v1 is retired', async () => (await states(1)) === 'retired')
    await spine.db.query('update builds set image_removed_at = now() where commit = $1', [commitOf('a')])
    expect(await spine.deploys.askForRelease(v(1))).toMatchObject({ kind: 'gone', release: { commit: commitOf('a') } })
  })

  it('is being stopped while it finishes what it has, says how long that may take, and is started after that', async () => {
    spine.config = { ...spine.config, drainMs: 60_000 }
    await goLive('a')
    const target = await targetOf(1)
    await use(1, 1)
    await goLive('b')
    await until('v1 has no address', async () => !(await leads(1)))
    const answer = await spine.deploys.askForRelease(v(1))
    expect(answer.kind).toBe('ending')
    const leftMs = 'release' in answer ? answer.release.drainLeftMs : 0
    expect([leftMs > 30_000, leftMs <= 60_000]).toEqual([true, true])
    if (target !== undefined) spine.router.setOpenConnections(target, 0)
    await until('v1 is retired', async () => (await states(1)) === 'retired')
    await wake(1)
  })

  it('names the newest release that was made of it anew and went live, when its own image is gone', async () => {
    await twoReleases()
    const [row] = await spine.db.query<{ id: number }>('select id from releases where number = 1')
    const rebuild = async (): Promise<string[]> => {
      const { deployId } = await spine.db.transaction((tx) =>
        spine.deploys.request(tx, {
          ...{
            environmentId: id,
            kind: 'deploy',
            branch: 'main',
            commit: commitOf('a'),
            requestedBy: 'ada',
            pushId: null,
          },
          forceRebuild: true,
          rebuildOf: row?.id ?? 0,
        }),
      )
      spine.deploys.wake()
      return spine.log(deployId)
    }
    const rebuiltUrl = async (): Promise<string | null> => {
      const answer = await spine.deploys.askForRelease(v(1))
      return answer.kind === 'gone' || answer.kind === 'refused' ? answer.rebuiltUrl : answer.kind
    }
    expect((await rebuild()).at(-1)).toMatch(/release=v3 status=live$/)
    await spine.db.query('update builds set image_removed_at = now() where number = 1')
    expect(await rebuiltUrl()).toBe('http://v3--test--shop.localhost:8080')
    spine.config = { ...spine.config, port: 1, health: { ...spine.config.health, deadlineMs: 100 } }
    expect((await rebuild()).at(-1)).toMatch(/release=v4 status=failed$/)
    expect(await rebuiltUrl()).toBe('http://v3--test--shop.localhost:8080')
    // The same where somebody has removed it by hand.
    const [build] = await spine.db.query<{ digest: string }>(
      `update builds set image_removed_at = null where number = 1 returning image ->> 'digest' as digest`,
    )
    await spine.builder.removeImage(build?.digest ?? '')
    expect(await rebuiltUrl()).toBe('starting')
    await until('it is refused', async () => (await rebuiltUrl()) === 'http://v3--test--shop.localhost:8080')
  })

  it('has no address while its environment is stopped', async () => {
    await twoReleases()
    await spine.deploys.stopServing(id, 'ada')
    expect(await ask(v(1))).toBe('unknown')
    expect(await hosts()).not.toContain(v(0))
    await spine.log((await spine.deploys.startServing(id, 'ada')).deployId)
    expect((await spine.router.read()).hosts.get(v(0))).toBe(`w${id}`)
    await wake(1)
  })
})

describe('a release that is asked for', () => {
  it('is started once, whoever asks: one web instance with its own image, no release commands, and only its address leads to it', async () => {
    spine.config = {
      ...spine.config,
      processes: [
        { name: 'web', run: null, instances: 2 },
        { name: 'worker', run: 'x', instances: 1 },
      ],
    }
    await goLive('a')
    const [first] = await spine.runtime.list()
    spine.config = { ...spine.config, processes: [{ name: 'web', run: null, instances: 1 }] }
    await goLive('b')
    await until('v1 is retired', async () => isAlone() && /^retired( retired)*$/.test(await states(1)))
    const before = (await spine.router.read()).keys.get(`e${id}`)
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(v(1))))
    expect(new Set(answers)).toEqual(new Set(['starting']))
    await until('v1 is awake', () => leads(1))
    expect(spine.runtime.names()).toHaveLength(2)
    const woken = (await spine.runtime.list()).find(({ labels }) => labels[labelNames.version] === 'v1')
    expect([woken?.image, woken?.labels[labelNames.process]]).toEqual([first?.image, 'web'])
    expect(spine.runtime.kept.has(woken?.containerId ?? '')).toBe(false)
    expect((await spine.router.read()).keys.get(`e${id}`)).toEqual(before)
    expect((await targetOf(1))?.address).toBe(woken?.address)
    expect((await spine.deploys.reconcile()).mended).toEqual([])
    const events = await spine.db.query(`select actor, data from events where kind = 'release.woken'`)
    expect(events).toMatchObject([{ actor: 'slipway', data: { release: 1 } }])
  })

  it('sleeps again when nobody has used it for so long, and can be woken again', async () => {
    await twoReleases()
    for (const round of [1, 2]) {
      await wake(1)
      await until(`v1 sleeps (${round})`, async () => (await states(1)) === 'retired' && isAlone())
      expect(await leads(1)).toBe(false)
      const { keys, sets } = await spine.router.read()
      expect([keys.size, sets.size]).toEqual([2, 1])
    }
  })

  it('stays awake while a request or a websocket is open, or nobody knows; ending, it lets open ones finish', async () => {
    spine.config = { ...spine.config, drainMs: 30_000 }
    await twoReleases()
    await wake(1)
    for (const open of [1, null]) {
      await use(1, open)
      await new Promise((resolve) => setTimeout(resolve, 1_600))
      expect(await states(1)).toBe('awake')
    }
    await use(1, 0)
    const target = await targetOf(1)
    const removeHost = spine.router.removeHost.bind(spine.router)
    spine.router.removeHost = async (host) => {
      // As it is put to sleep a request has just come.
      if (host === v(1) && target !== undefined) spine.router.setOpenConnections(target, 1)
      return removeHost(host)
    }
    await until('its address is taken away', async () => !(await leads(1)))
    spine.router.removeHost = removeHost
    expect(await ask(v(1))).toBe('ending')
    if (target !== undefined) spine.router.setOpenConnections(target, 0)
    await until('v1 sleeps', async () => (await states(1)) === 'retired')
  })

  it('is not started without memory, and says so for a while', async () => {
    await twoReleases()
    hasMemory = false
    expect(await ask(v(1))).toBe('starting')
    await until('it is refused', async () => (await ask(v(1))) === 'memory')
    expect([spine.runtime.names().length, await states(1)]).toEqual([1, 'retired'])
  })

  it('says so when somebody has removed its image by hand', async () => {
    await twoReleases()
    const [build] = await spine.db.query<{ digest: string }>(
      `select image ->> 'digest' as digest from builds where number = 1`,
    )
    await spine.builder.removeImage(build?.digest ?? '')
    expect(await ask(v(1))).toBe('starting')
    await until('it is refused', async () => (await ask(v(1))) === 'image')
    expect([spine.runtime.names().length, await states(1)]).toEqual([1, 'retired'])
  })

  it('is led to as soon as the proxy is back, when that was away just then', async () => {
    await twoReleases()
    spine.router.failNext('addHost')
    keepAwake()
    await wake(1)
    expect(await states(1)).toBe('awake')
    expect(await spine.db.query(`select 1 from events where kind like 'release.w%'`)).toHaveLength(1)
    expect((await spine.deploys.reconcile()).mended).toEqual([])
  })

  it('leaves nothing when it does not pass its checks, and is not tried again at once', async () => {
    spine.config = { ...spine.config, health: { ...spine.config.health, path: '/', deadlineMs: 2_000 } }
    await twoReleases()
    spine.answer = 500
    expect(await ask(v(1))).toBe('starting')
    await until('it has failed', async () => (await ask(v(1))) === 'failed')
    await until('nothing is left', async () => isAlone() && (await states(1)) === 'retired')
    expect(
      await spine.db.query(`select data -> 'release' as release from events where kind = 'release.wake-failed'`),
    ).toEqual([{ release: 1 }])
    expect((await spine.deploys.reconcile()).mended).toEqual([])
  })

  it('is not tried again at once when nothing can be asked of the engine, but soon, for it did not fail', async () => {
    await twoReleases()
    const { builds } = spine.tools
    const hasImage = builds.hasImage.bind(builds)
    let tries = 0
    spine.tools.builds.hasImage = async () => {
      tries += 1
      throw new SlipwayError('unavailable', 'The engine does not answer.')
    }
    expect(await ask(v(1))).toBe('starting')
    await until('it is refused', async () => (await ask(v(1))) === 'away')
    for (let reload = 0; reload < 5; reload += 1) expect(await ask(v(1))).toBe('away')
    expect(tries).toBe(1)
    spine.tools.builds.hasImage = hasImage
    const later = jest.spyOn(systemClock, 'monotonicMs').mockImplementation(() => performance.now() + 6_000)
    try {
      expect(await ask(v(1))).toBe('starting')
      await until('v1 is awake', () => leads(1))
    } finally {
      later.mockRestore()
    }
  })

  it('is one of five at most in an environment', async () => {
    await goLive('a', 'b', 'c', 'd', 'e', 'f', '0')
    await until('the old ones are retired', isAlone)
    for (const number of [1, 2, 3, 4, 5, 6]) {
      await until(`v${number} is retired`, async () => (await states(number)) === 'retired')
    }
    let most = 0
    let starting = 0
    const start = spine.runtime.start.bind(spine.runtime)
    spine.runtime.start = async (spec, signal) => {
      most = Math.max(most, (starting += 1))
      await new Promise((resolve) => setTimeout(resolve, 100))
      return start(spec, signal).finally(() => (starting -= 1))
    }
    // None sleeps before the last is awake, however long that takes.
    keepAwake()
    const six = [1, 2, 3, 4, 5, 6]
    expect(await Promise.all(six.map((number) => ask(v(number))))).toEqual(Array(6).fill('starting'))
    const areAwake = async (): Promise<number> => (await Promise.all(six.map(leads))).filter(Boolean).length
    await until('five are awake', async () => (await areAwake()) === 5)
    const answers = await Promise.all(six.map((n) => ask(v(n))))
    expect(answers.toSorted()).toEqual(['many', ...Array<string>(5).fill('starting')])
    // Two at a time.
    expect(most).toBe(2)
  })

  it('is not started by whoever asks for all: twenty stand in line', async () => {
    await twoReleases()
    await spine.db.query(
      `with more as (
         insert into releases (environment_id, number, build_id)
         select r.environment_id, n, r.build_id from releases r, generate_series(101, 121) n where r.number = 1 returning id, build_id
       )
       insert into deploys (environment_id, kind, commit, requested_by, state, finished_at, build_id, release_id)
       select $1, 'deploy', $2, 'ada', 'live', now(), build_id, id from more`,
      [id, commitOf('a')],
    )
    const gate = Promise.withResolvers<void>()
    onMemory = async () => {
      await gate.promise
      throw new SlipwayError('unavailable', 'The server has too little memory to start it.')
    }
    try {
      for (let number = 101; number <= 120; number += 1) expect(await ask(v(number))).toBe('starting')
      expect([await ask(v(121)), await ask(v(120))]).toEqual(['busy', 'starting'])
    } finally {
      gate.resolve()
    }
    await until('they are refused', async () => (await ask(v(120))) === 'memory')
    expect(isAlone()).toBe(true)
  })

  it('is not started when its environment was stopped since', async () => {
    await twoReleases()
    let isStopped = false
    onMemory = async () => {
      await spine.deploys.stopServing(id, 'ada')
      isStopped = true
    }
    expect(await ask(v(1))).toBe('starting')
    await until('it is stopped', () => isStopped)
    await until('nothing runs', () => spine.runtime.names().length === 0)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect([spine.runtime.names(), await states(1), await hosts()]).toEqual([[], 'retired', ['test--shop.localhost']])
  })

  it('has one instance, whichever deploy started it, and none that was told to end', async () => {
    await goLive('a')
    await spine.log(await spine.request('restart', 'test', commitOf('a')))
    await until('what ran before is retired', async () => isAlone() && (await states(1)) === 'retired serving')
    const asked = await findAskedRelease(spine.db, { label: 'test--shop', number: 1 })
    if (asked === null) throw new Error('there is no v1')
    const spec = await readReleaseSpec(await spine.deploys.get(asked.madeBy), spine.tools)
    const begin = () => spine.db.transaction((tx) => insertWaking(tx, asked, { spec, range: spine.tools.range }))
    expect(await begin()).toBeNull()
    await spine.db.query(`update instances set state = 'retired'`)
    const begun = await begin()
    const record = () => spine.db.transaction((tx) => recordAwake(tx, begun?.instanceId ?? 0))
    expect(await recordAsleep(spine.db, begun?.instanceId ?? 0)).toBe(true)
    expect([await record(), await states(1)]).toEqual([null, 'draining retired'])
  })

  it('keeps none of another app from starting, however long those of its own take', async () => {
    await goLive('a', 'b', 'c', 'd')
    const environments = makeEnvironments({ db: spine.db })
    await environments.createApp('cafe')
    const { id: cafe } = await environments.get('cafe', 'test')
    for (const letter of ['e', 'f']) {
      const wish = { kind: 'push', branch: 'main', commit: commitOf(letter), requestedBy: 'ada', pushId: null } as const
      const queued = await spine.db.transaction((tx) => spine.deploys.request(tx, { environmentId: cafe, ...wish }))
      spine.deploys.wake()
      expect((await spine.log(queued.deployId)).at(-1)).toMatch(/status=live$/)
    }
    await until('the old ones are retired', async () => {
      const ending = await spine.db.query(`select 1 from instances where state not in ('serving', 'retired')`)
      return ending.length === 0 && spine.runtime.names().length === 2
    })
    const gate = Promise.withResolvers<void>()
    const held: string[] = []
    const start = spine.runtime.start.bind(spine.runtime)
    spine.runtime.start = async (spec, signal) => {
      if (spec.labels[labelNames.app] === 'shop') {
        held.push(spec.name)
        await gate.promise
      }
      return start(spec, signal)
    }
    for (const number of [1, 2, 3]) expect(await ask(v(number))).toBe('starting')
    await until('two of them are being started', () => held.length === 2)
    expect(await ask('v1--test--cafe.localhost')).toBe('starting')
    await until('that of the other app is awake', async () => (await hosts()).includes('v1--test--cafe.localhost'))
    expect(held).toHaveLength(2)
    gate.resolve()
    await until('the third is started', () => held.length === 3)
  })

  it('keeps its image', async () => {
    await twoReleases()
    await wake(1)
    const [build] = await spine.db.query<{ id: number }>('select id from builds where commit = $1', [commitOf('a')])
    const { makeImages } = await import('../../src/builds/index.ts')
    const images = makeImages({ db: spine.db, builder: spine.builder, logger: spine.tools.logger })
    await use(1, 1)
    expect(await images.remove([build?.id ?? 0])).toBe(0)
    await use(1, 0)
    await until('v1 sleeps', async () => (await states(1)) === 'retired')
    expect(await images.remove([build?.id ?? 0])).toBe(1)
    expect(await ask(v(1))).toBe('gone')
  })
})

describe('a release that is awake', () => {
  beforeEach(async () => {
    await twoReleases()
    const letSleep = keepAwake()
    await wake(1)
    await use(1, 1)
    letSleep()
  })

  it('stays while another goes live', async () => {
    await goLive('c')
    expect([await leads(1), await leads(3), await states(1)]).toEqual([true, true, 'awake'])
    await until('v2 is retired', async () => (await states(2)) === 'retired')
    expect((await spine.deploys.reconcile()).mended).toEqual([])
    expect(await leads(1)).toBe(true)
  })

  it('ends when a deploy needs its memory', async () => {
    hasMemory = false
    const remove = spine.runtime.remove.bind(spine.runtime)
    spine.runtime.remove = async (containerId) => {
      await remove(containerId)
      hasMemory = true
    }
    const log = await spine.log(await spine.push('test', commitOf('c')))
    expect(log.join('\n')).toContain('One old release that ran for its own address ended')
    expect(log.at(-1)).toMatch(/status=live$/)
    expect(await leads(1)).toBe(false)
    hasMemory = false
    await until('v2 is retired', async () => (await states(2)) === 'retired')
    hasMemory = false
    expect((await spine.log(await spine.push('test', commitOf('d')))).at(-1)).toMatch(/status=failed$/)
  })

  it('ends with its environment when that is stopped', async () => {
    await use(1, 0)
    await spine.deploys.stopServing(id, 'ada')
    await until('nothing runs', () => spine.runtime.names().length === 0)
    expect(await hosts()).toEqual(['test--shop.localhost'])
  })

  it('ends with its environment when that is removed', async () => {
    await use(1, 0)
    await spine.db.query(`update environments set state = 'removing' where id = $1`, [id])
    const environment = { id, app: 'shop', name: 'test', label: 'test--shop' }
    await spine.deploys.takeDown(environment, AbortSignal.timeout(20_000))
    expect([spine.runtime.names(), await hosts()]).toEqual([[], []])
  })

  it('is protected as soon as its environment is', async () => {
    const protection = makeProtections({
      db: spine.db,
      hash: () => Promise.resolve('A'.repeat(64)),
      apply: (environmentId) => spine.deploys.applyExposure(environmentId),
    })
    await protection.change(await spine.environment('test'), {
      setUser: { name: 'anna', password: new Secret('s3cret') },
    })
    const entries = (await spine.router.read()).hosts
    expect([v(0), v(1), v(2)].map((host) => entries.get(host)?.split('/').slice(1).join('/'))).toEqual(
      Array(3).fill(`p/${id}`),
    )
  })

  it('ends when its container does, at once, and is woken again by who asks', async () => {
    const woken = (await spine.runtime.list()).find(({ labels }) => labels[labelNames.version] === 'v1')
    const survey = spine.runtime.survey.bind(spine.runtime)
    const before = await survey()
    // The engine tells of the end before its list knows it.
    spine.runtime.survey = async () => ((await states(1)) === 'awake' ? before : survey())
    spine.runtime.end(woken?.containerId ?? '', { exitCode: 1 })
    await until('it is cleared away', async () => isAlone() && (await states(1)) === 'retired')
    expect(await leads(1)).toBe(false)
    await wake(1)
  })

  it('ends when a value of it has leaked, also when whoever revoked that was killed before it could end it', async () => {
    await spine.db.query('update releases set variables_revoked_at = clock_timestamp() where number = 1')
    expect((await spine.deploys.findDifferences()).map(({ why }) => why)).toEqual([
      'It was started with a value that leaked.',
    ])
    await use(1, 0)
    await spine.deploys.reconcile()
    await until('v1 sleeps', async () => (await states(1)) === 'retired' && isAlone())
    await wake(1)
    expect((await spine.deploys.reconcile()).mended).toEqual([])
  })

  it('goes on over a restart of Slipway; a proxy that lost everything is told of it', async () => {
    await spine.restart()
    expect([await leads(1), await states(1)]).toEqual([true, 'awake'])
    await spine.router.replaceAll({ hosts: new Map(), keys: new Map(), sets: new Map() })
    await spine.deploys.reconcile()
    expect(await leads(1)).toBe(true)
    await use(1, 0)
    await until('v1 sleeps', async () => (await states(1)) === 'retired' && isAlone())
  })
})

describe('a release with a value that is revoked', () => {
  const set = (value: string) =>
    spine.vars.change(id, { set: [{ name: 'KEY', value, secret: true }], unset: [] }, 'ada')
  const revoke = async () => {
    const { appId } = await spine.environment('test')
    const wish = { appId, environmentId: id, environment: 'test', name: 'KEY', release: null, value: 'the-next-one' }
    return spine.revocation.revoke(wish, 'ada')
  }
  /** What KEY was in each container of v1 that was started from now on. */
  const watchStarts = (meanwhile: () => Promise<void> = async () => undefined): string[] => {
    const given: string[] = []
    const start = spine.runtime.start.bind(spine.runtime)
    spine.runtime.start = async (spec, signal) => {
      const key = spec.env['KEY']
      if (spec.labels[labelNames.version] === 'v1') {
        given.push(key instanceof Secret ? key.reveal() : '-')
        await meanwhile()
      }
      return start(spec, signal)
    }
    return given
  }

  it('ends when it is awake, and is woken with what took its place', async () => {
    await set('a-leaked-one')
    await twoReleases()
    const given = watchStarts()
    await wake(1)
    await revoke()
    await until('v1 sleeps', async () => (await states(1)) === 'retired' && !(await leads(1)))
    await wake(1)
    expect(given).toEqual(['a-leaked-one', 'the-next-one'])
  })

  it('is never led to when it was just being started with it', async () => {
    await set('a-leaked-one')
    await twoReleases()
    let revoked = false
    const given = watchStarts(async () => {
      if (!revoked) await revoke()
      revoked = true
    })
    expect(await ask(v(1))).toBe('starting')
    await until('it is ended', async () => revoked && (await states(1)) === 'retired' && isAlone())
    expect(await leads(1)).toBe(false)
    await wake(1)
    expect(given).toEqual(['a-leaked-one', 'the-next-one'])
  })
})

describe('a wake that a dead server had begun', () => {
  it.each(['before its container', 'with its container'])('leaves nothing: %s', async (when) => {
    await twoReleases()
    keepAwake()
    await wake(1)
    await spine.deploys.stop()
    // As if it had died before it was led to.
    await spine.db.query(`update instances set state = 'waking' where state = 'awake'`)
    if (when === 'before its container') {
      const woken = (await spine.runtime.list()).find(({ labels }) => labels[labelNames.version] === 'v1')
      await spine.runtime.remove(woken?.containerId ?? '')
      await spine.db.query(`update instances set container_id = null where state = 'waking'`)
    }
    await spine.restart()
    await until('it is cleared away', async () => isAlone() && (await states(1)) === 'retired')
    expect(await leads(1)).toBe(false)
    await wake(1)
  })
})

describe('the releases of live', () => {
  it('that are awake end when the app switches their addresses off', async () => {
    const live = await spine.environment('live')
    const protection = makeProtections({
      db: spine.db,
      hash: () => Promise.resolve('A'.repeat(64)),
      apply: (environmentId) => spine.deploys.applyExposure(environmentId),
    })
    await protection.setReleaseAddresses(live, 'public')
    const woken = () => spine.db.query(`select 1 from events where kind = 'release.woken'`)
    for (const commit of ['a', 'b']) await spine.log(await spine.deploy('live', commitOf(commit)))
    await until('v1 is retired', async () => (await states(1)) === 'retired')
    const letSleep = keepAwake()
    expect(await ask('v1--shop.localhost')).toBe('starting')
    await until('v1 is awake', async () => (await hosts()).includes('v1--shop.localhost'))
    await use(1, 1)
    letSleep()
    await protection.setReleaseAddresses(live, 'off')
    expect(await hosts()).toEqual(['shop.localhost'])
    expect(await ask('v1--shop.localhost')).toBe('unknown')
    await use(1, 0).catch(() => undefined)
    await until('v1 is gone', async () => isAlone() && (await states(1)) === 'retired')
    expect(await woken()).toHaveLength(1)
    // Also one that was just being started then, or was about to be.
    const start = spine.runtime.start.bind(spine.runtime)
    let starts = 0
    for (const when of ['before', 'while'] as const) {
      await protection.setReleaseAddresses(live, 'public')
      const off = () => protection.setReleaseAddresses(live, 'off')
      onMemory = when === 'before' ? off : async () => undefined
      spine.runtime.start = async (spec, signal) => {
        starts += 1
        if (when === 'while') await off()
        return start(spec, signal)
      }
      expect(await ask('v1--shop.localhost')).toBe('starting')
      await until('they are off', async () => (await ask('v1--shop.localhost')) === 'unknown')
      await until('v1 is gone', async () => isAlone() && (await states(1)) === 'retired')
      await new Promise((resolve) => setTimeout(resolve, 300))
      expect([when, starts, await hosts()]).toEqual([when, when === 'while' ? 1 : 0, ['shop.localhost']])
    }
    expect(await woken()).toHaveLength(1)
  })
})
