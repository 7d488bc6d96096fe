import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { makeImages } from '../../src/builds/index.ts'
import { makeEnvironments } from '../../src/environments/index.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makeRemovals, type Removals } from '../../src/removals/index.ts'
import { makeHeldBuild } from '../support/held-build.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine
let environments: ReturnType<typeof makeEnvironments>
let removals: Removals
/** What was asked of Git and of the logs, in order. */
let asked: string[]
/** The next step of these fails once, or never ends. */
let broken: 'logs' | 'repository' | null
/** Its jobs have ended: a removal goes on from there. */
let jobs: Promise<void>

beforeEach(async () => {
  spine = await makeSpine()
  environments = makeEnvironments({ db: spine.db })
  await environments.add('shop', { name: 'qa' })
  asked = []
  broken = null
  jobs = Promise.resolve()
  removals = make()
})
afterEach(async () => {
  await removals.stop()
  await spine.close()
})

function make(): Removals {
  const { db, builder } = spine
  const breakOn = async (what: string): Promise<void> => {
    if (broken !== what) return
    broken = null
    throw new Error('broken once')
  }
  return makeRemovals({
    ...{ db, builder, environments, images: makeImages({ db, builder, logger: silentLogger }) },
    // The spine's deploys are others after a restart.
    deploys: {
      closeLine: (...args) => spine.deploys.closeLine(...args),
      takeDown: (...args) => spine.deploys.takeDown(...args),
      wake: () => spine.deploys.wake(),
    },
    git: {
      forgetDeploys: async (app, ids) => void asked.push(`forget ${app} ${ids.join(',')}`),
      async removeRepository(app) {
        await breakOn('repository')
        asked.push(`repository ${app}`)
      },
    },
    endJobs: async () => {
      await jobs
      asked.push('jobs')
    },
    async removeLogs({ app, environment }) {
      await breakOn('logs')
      asked.push(`logs ${app}/${environment}`)
    },
    clock: systemClock,
    logger: silentLogger,
  })
}

const request = async (name: string, commit: string, kind: 'push' | 'deploy' = 'deploy'): Promise<number> => {
  const { id } = await environments.get('shop', name)
  const queued = await spine.db.transaction((tx) =>
    spine.deploys.request(tx, { environmentId: id, kind, branch: 'main', commit, requestedBy: 'ada', pushId: null }),
  )
  spine.deploys.wake()
  return queued.deployId
}
const live = async (name: string, commit: string): Promise<void> => {
  expect((await spine.log(await request(name, commit))).at(-1)).toMatch(/status=live$/)
}
const until = async (what: string, done: () => Promise<boolean>): Promise<void> => {
  for (const end = Date.now() + 20_000; !(await done()); await new Promise((resolve) => setTimeout(resolve, 20))) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`)
  }
}
const untilGone = (name: string): Promise<void> =>
  until(`${name} is gone`, async () => !(await environments.list('shop')).some((e) => e.name === name))
const count = async (table: string): Promise<number> =>
  (await spine.db.query<{ n: number }>(`select count(*) as n from ${table}`))[0]?.n ?? 0
const by = { by: 'ada', cancel: false }

describe('an environment that is removed', () => {
  it('leaves nothing: no instance, route, address, image, log or row; others go on', async () => {
    await live('test', commitOf('a'))
    const before = await spine.router.read()
    await live('qa', commitOf('b'))
    await live('qa', commitOf('c'))
    expect(spine.builder.images.size).toBe(3)
    await spine.db.query('update releases set pinned = true')
    expect(await removals.beginEnvironment('shop', 'qa', by)).toEqual({ waitsFor: [] })
    await untilGone('qa')
    expect(spine.runtime.names()).toEqual(['slw-spine-test--shop-v1-1'])
    expect(await spine.router.read()).toEqual(before)
    expect([...spine.builder.images.keys()]).toEqual([1])
    expect([await count('releases'), await count('deploys'), await count('instances'), await count('routes')]).toEqual([
      ...[1, 1, 1, 1],
    ])
    expect(await spine.db.query('select 1 from deploy_log where deploy_id <> 1')).toEqual([])
    expect(await spine.db.query('select 1 from addresses where instance_id is not null')).toHaveLength(1)
    // One that was in use a moment ago rests before another gets it.
    expect(
      await spine.db.query('select 1 from addresses where instance_id is null and reusable_at > now()'),
    ).toHaveLength(2)
    // The proxy may tell of a last request while the row goes.
    await until('its logs are removed once more', async () => asked.length === 4)
    expect(asked).toEqual(['jobs', 'forget shop 2,3', 'logs shop/qa', 'logs shop/qa'])
    const events = await spine.db.query<{ kind: string; actor: string; data: object }>(
      `select kind, actor, environment, data from events where kind like 'environment.remov%' order by id`,
    )
    expect(events).toEqual([
      { kind: 'environment.removing', actor: 'ada', environment: 'qa', data: { environment: 'qa' } },
      { kind: 'environment.removed', actor: 'ada', environment: 'qa', data: { app: 'shop', environment: 'qa' } },
    ])
  })

  it('is removed once, by whoever asked first', async () => {
    const ended = Promise.withResolvers<void>()
    jobs = ended.promise
    await removals.beginEnvironment('shop', 'qa', by)
    await removals.beginEnvironment('shop', 'qa', { ...by, by: 'bob' })
    ended.resolve()
    await untilGone('qa')
    const events = await spine.db.query(
      `select kind, actor from events where kind like 'environment.remov%' order by id`,
    )
    expect(events).toEqual([
      { kind: 'environment.removing', actor: 'ada' },
      { kind: 'environment.removed', actor: 'ada' },
    ])
  })

  it('comes back with other numbers for its releases', async () => {
    await live('qa', commitOf('a'))
    await removals.beginEnvironment('shop', 'qa', by)
    await expect(environments.add('shop', { name: 'qa' })).rejects.toMatchObject({ code: 'conflict' })
    await expect(environments.change('shop', 'qa', { branch: 'x' })).rejects.toMatchObject({ code: 'conflict' })
    await untilGone('qa')
    await environments.add('shop', { name: 'qa' })
    await live('qa', commitOf('b'))
    expect(await spine.db.query('select number from releases order by id desc limit 1')).toEqual([{ number: 2 }])
  })

  it('keeps an image that another environment has a release of', async () => {
    await live('qa', commitOf('a'))
    const { id } = await environments.get('shop', 'test')
    await spine.db.query('insert into releases (environment_id, number, build_id) values ($1, 1, 1)', [id])
    await removals.beginEnvironment('shop', 'qa', by)
    await untilGone('qa')
    expect([...spine.builder.images.keys()]).toEqual([1])
  })

  it('waits for a deploy that runs, ends those that wait, and takes no new one', async () => {
    const held = makeHeldBuild()
    spine.onBuild = held.hook
    const running = await request('qa', commitOf('a'))
    await until('it runs', async () => (await spine.deploys.get(running)).state === 'running')
    const waiting = await request('qa', commitOf('b'))
    expect(await removals.beginEnvironment('shop', 'qa', by)).toEqual({ waitsFor: [running] })
    expect((await spine.log(waiting)).slice(-2)).toEqual([
      'error: Cancelled while it waited: ada removes the environment.',
      `machine: slipway: deploy=${waiting} environment=qa release=- status=cancelled`,
    ])
    await expect(request('qa', commitOf('c'))).rejects.toMatchObject({ code: 'conflict' })
    // Asked again, it still waits.
    expect(await removals.beginEnvironment('shop', 'qa', by)).toEqual({ waitsFor: [running] })
    expect((await environments.get('shop', 'qa')).state).toBe('removing')
    held.open()
    await untilGone('qa')
    expect(spine.runtime.names()).toEqual([])
  })

  it('ends a deploy that runs when that is asked for', async () => {
    const held = makeHeldBuild()
    spine.onBuild = held.hook
    const running = await request('qa', commitOf('a'))
    await until('it runs', async () => (await spine.deploys.get(running)).state === 'running')
    await removals.beginEnvironment('shop', 'qa', { by: 'ada', cancel: true })
    await untilGone('qa')
    expect(await count('deploys')).toBe(0)
  })

  it.each(['test', 'live'])('cannot be %s', async (name) => {
    await expect(removals.beginEnvironment('shop', name, by)).rejects.toMatchObject({ code: 'conflict' })
    expect((await environments.get('shop', name)).state).toBe('active')
  })

  it('cannot be one that is not there', async () => {
    await expect(removals.beginEnvironment('shop', 'nowhere', by)).rejects.toMatchObject({ code: 'not_found' })
    await expect(removals.beginEnvironment('nobody', 'qa', by)).rejects.toMatchObject({ code: 'not_found' })
  })

  it('goes on after a restart, wherever it was', async () => {
    const held = makeHeldBuild()
    await live('qa', commitOf('a'))
    spine.onBuild = held.hook
    const running = await request('qa', commitOf('b'))
    await until('it runs', async () => (await spine.deploys.get(running)).state === 'running')
    await removals.beginEnvironment('shop', 'qa', by)
    await removals.stop()
    await spine.restart()
    held.open()
    await until('it ends', async () => (await spine.deploys.get(running)).finishedAt !== null)
    expect((await environments.get('shop', 'qa')).state).toBe('removing')
    broken = 'logs'
    removals = make()
    await removals.start()
    await untilGone('qa')
    expect([spine.runtime.names(), spine.builder.images.size]).toEqual([[], 0])
    expect((await spine.router.read()).hosts.size).toBe(0)
  })
})

describe('an app that is removed', () => {
  it('goes with all its environments, images and its repository, and its numbers are not used again', async () => {
    await live('test', commitOf('a'))
    await live('live', commitOf('a'))
    await live('qa', commitOf('b'))
    broken = 'repository'
    expect(await removals.beginApp('shop', by)).toEqual({ waitsFor: [] })
    await expect(environments.add('shop', { name: 'more' })).rejects.toMatchObject({ code: 'conflict' })
    await expect(environments.createApp('shop')).rejects.toMatchObject({ code: 'conflict' })
    await until('it is gone', async () => (await environments.findApp('shop')) === null)
    expect([spine.runtime.names(), spine.builder.images.size]).toEqual([[], 0])
    expect((await spine.router.read()).hosts.size).toBe(0)
    expect(await Promise.all(['environments', 'builds', 'deploys', 'release_numbers'].map(count))).toEqual([0, 0, 0, 0])
    expect(asked.filter((one) => one.startsWith('repository'))).toEqual(['repository shop'])
    expect((await spine.db.query(`select kind from events where kind = 'app.removed'`)).length).toBe(1)
    await environments.createApp('shop')
    await live('test', commitOf('c'))
    expect(await spine.db.query('select number from releases')).toEqual([{ number: 2 }])
  })

  it('ends the deploys that run in it when that is asked for, and keeps the highest of its numbers', async () => {
    const held = makeHeldBuild()
    spine.onBuild = held.hook
    await request('live', commitOf('a'))
    await held.reached
    // From a server of another version, which did not take them into account.
    await spine.db.query(
      `insert into numbers_of_removed_apps (app, environment_name, last_number) values ('shop', 'live', 9)`,
    )
    await spine.db.query(
      `insert into release_numbers (app_id, environment_name, last_number) select id, 'live', 1 from apps
       on conflict (app_id, environment_name) do update set last_number = 1`,
    )
    await removals.beginApp('shop', { ...by, cancel: true })
    await until('it is gone', async () => (await environments.findApp('shop')) === null)
    expect(await spine.db.query('select environment_name, last_number from numbers_of_removed_apps')).toEqual([
      { environment_name: 'live', last_number: 9 },
    ])
  })

  it('gets no environment while somebody begins to remove it', async () => {
    let adding: Promise<unknown> = Promise.resolve()
    await spine.db.transaction(async (tx) => {
      await tx.query(`update apps set removing_since = now() where name = 'shop'`)
      adding = environments.add('shop', { name: 'late' }).catch((error: unknown) => error)
      await systemClock.sleep(200)
    })
    expect(await adding).toMatchObject({ code: 'conflict', message: 'The app shop is being removed.' })
  })

  it('goes on after a restart', async () => {
    const held = makeHeldBuild()
    spine.onBuild = held.hook
    const running = await request('live', commitOf('a'))
    await until('it runs', async () => (await spine.deploys.get(running)).state === 'running')
    expect(await removals.beginApp('shop', by)).toEqual({ waitsFor: [running] })
    await removals.stop()
    await spine.restart()
    removals = make()
    await removals.start()
    held.open()
    await until('it is gone', async () => (await environments.findApp('shop')) === null)
    expect(spine.runtime.names()).toEqual([])
  })
})
