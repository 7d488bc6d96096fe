import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { type Builder, holdImage, type Images, makeImages } from '../../src/builds/index.ts'
import { type Environment, makeEnvironments } from '../../src/environments/index.ts'
import { SlipwayError } from '../../src/kernel/errors.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makeRetention, type Retention } from '../../src/nightly/index.ts'
import { makePool, type Pool } from '../../src/postgres/index.ts'
import { ensureBaseImage } from '../support/base-image.ts'
import { docker, makeTestBuilds, type TestBuilds } from '../support/builds.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { addRelease, type OldRelease } from '../support/old-releases.ts'

const builds: TestBuilds = makeTestBuilds(`tr${process.pid}`)
let database: TestDatabase
let db: Pool
let test: Environment
let live: Environment

beforeEach(async () => {
  database = await createTestDatabase()
  db = makePool(database.connection, { logger: silentLogger, size: 6 })
  const environments = makeEnvironments({ db })
  await environments.createApp('shop')
  test = await environments.get('shop', 'test')
  live = await environments.get('shop', 'live')
})
afterEach(async () => {
  await db.close()
  await database.drop()
})

const signal = new AbortController().signal

/** Nothing to do with an engine: what a retention asks it. */
function makeFakeEngine(): { builder: Builder; removed: string[]; traces: number[]; fail: Error | null } {
  const engine = {
    removed: [] as string[],
    traces: [] as number[],
    fail: null as Error | null,
    builder: {
      listTraces: async () => {
        if (engine.fail !== null) throw engine.fail
        return engine.traces
      },
      listLeftOver: async () => [],
      removeImage: async (digest: string) => {
        if (engine.fail !== null) throw engine.fail
        engine.removed.push(digest)
      },
    } as unknown as Builder,
  }
  return engine
}

function retentionOf(builder: Builder, keepReleases = 2): { retention: Retention; images: Images } {
  const images = makeImages({ db, builder, logger: silentLogger })
  return { images, retention: makeRetention({ db, images, keepReleases }) }
}

async function addReleases(environment: Environment, count: number, prefix: string): Promise<OldRelease[]> {
  const made: OldRelease[] = []
  for (let i = 1; i <= count; i++) made.push(await addRelease(db, environment.id, { digest: `sha256:${prefix}${i}` }))
  return made
}

async function serve(environment: Environment, { releaseId, deployId }: OldRelease): Promise<void> {
  await db.query(
    `insert into instances (release_id, deploy_id, position, port, state, drain_ms, stop_ms) values ($1, $2, 1, 80, 'serving', 0, 0)`,
    [releaseId, deployId],
  )
  await db.query(
    `insert into routes (environment_id, release_id) values ($1, $2) on conflict (environment_id) do update set release_id = $2`,
    [environment.id, releaseId],
  )
}

describe('by the database', () => {
  it('the images of old releases go, their rows stay, and nothing goes twice', async () => {
    const engine = makeFakeEngine()
    const { retention } = retentionOf(engine.builder)
    const made = await addReleases(test, 6, 't')
    await serve(test, made[1] as OldRelease)
    await db.query('update releases set pinned = true where id = $1', [made[0]?.releaseId])
    // v4 served before (v5 and v6 are kept as the newest).
    await db.query(`update deploys set state = 'failed' where id in ($1, $2)`, [made[4]?.deployId, made[5]?.deployId])

    expect(await retention.run(signal)).toEqual({ images: 1, leftOver: 0 })
    expect(engine.removed).toEqual(['sha256:t3'])
    expect(await retention.run(signal)).toEqual({ images: 0, leftOver: 0 })
    expect(engine.removed).toEqual(['sha256:t3'])
    const [rows] = await db.query<{ releases: number; gone: number }>(
      `select (select count(*) from releases) as releases, (select count(*) from builds where image_removed_at is not null) as gone`,
    )
    expect(rows).toEqual({ releases: 6, gone: 1 })
    const told = await db.query(`select app, actor, data from events where kind = 'image.removed'`)
    expect(told).toEqual([{ app: 'shop', actor: 'slipway', data: { build: 3, releases: ['test v3'] } }])
  })

  it('a build of several environments stays as long as one keeps it', async () => {
    const engine = makeFakeEngine()
    const { retention } = retentionOf(engine.builder, 1)
    const [shared] = await addReleases(test, 1, 's')
    await addReleases(test, 2, 't')
    const inLive = await addRelease(db, live.id, { buildId: shared?.buildId as number })
    await serve(live, inLive)
    await retention.run(signal)
    expect(engine.removed).not.toContain('sha256:s1')
    await addReleases(live, 2, 'l')
    await db.query(`update instances set state = 'retired'`)
    await db.query(`delete from routes`)
    await db.query(`update deploys set state = 'failed' where id in ($1, $2)`, [shared?.deployId, inLive.deployId])
    await retention.run(signal)
    expect(engine.removed).toContain('sha256:s1')
  })

  it('an image that was made just now, or that a deploy has to do with, stays', async () => {
    const engine = makeFakeEngine()
    const { retention } = retentionOf(engine.builder, 1)
    const made = await addReleases(test, 5, 't')
    await db.query(`update deploys set state = 'failed'`)
    await db.query('update builds set finished_at = now() where id = $1', [made[0]?.buildId])
    await db.query(`update deploys set state = 'running', finished_at = null where id = $1`, [made[1]?.deployId])
    await db.query(
      `insert into deploys (environment_id, kind, commit, requested_by, state, release_id) values ($1, 'rollback', 'c', 'ada', 'waiting', $2)`,
      [test.id, made[2]?.releaseId],
    )
    await retention.run(signal)
    expect(engine.removed).toEqual(['sha256:t4'])
  })

  it('an engine that does not answer, or a list that fails or is empty, removes nothing; what was given up goes later', async () => {
    const engine = makeFakeEngine()
    const { retention, images } = retentionOf(engine.builder, 1)
    const made = await addReleases(test, 3, 't')
    // The newest stays.
    engine.fail = new SlipwayError('unavailable', 'The engine is away.')
    await expect(retention.run(signal)).rejects.toThrow('The engine is away.')
    engine.fail = null
    expect(await images.sweep(signal)).toBe(0)
    expect(engine.removed).toEqual([])
    engine.traces = made.map(({ buildId }) => buildId)
    expect(await images.sweep(signal)).toBe(2)
    expect(engine.removed.sort()).toEqual(['sha256:t1', 'sha256:t2'])
  })

  it('whoever holds an image while it is given up either keeps it or hears that it is gone', async () => {
    const engine = makeFakeEngine()
    const { images } = retentionOf(engine.builder)
    const made = await addReleases(test, 20, 't')
    const outcomes = await Promise.all(
      made.flatMap(({ buildId }) => [
        images.remove([buildId]).then((removed) => ({ buildId, removed })),
        db
          .transaction(async (tx) => {
            await holdImage(tx, buildId)
            await tx.query(
              `insert into deploys (environment_id, kind, commit, requested_by, state, build_id) values ($1, 'rollback', 'c', 'ada', 'waiting', $2)`,
              [test.id, buildId],
            )
          })
          .then(
            () => ({ buildId, held: true }),
            (error: unknown) => {
              expect(error).toMatchObject({ code: 'conflict', message: expect.stringContaining('too old to be kept') })
              return { buildId, held: false }
            },
          ),
      ]),
    )
    for (const { buildId } of made) {
      const [first, second] = outcomes.filter((outcome) => outcome.buildId === buildId)
      const merged = { ...first, ...second } as { removed: number; held: boolean }
      expect(merged.removed === 1).toBe(!merged.held)
    }
    expect(engine.removed).toHaveLength(outcomes.filter((o) => 'removed' in o && o.removed === 1).length)
  })

  it('holdImage waits for a transaction that gives it up, and the other way round', async () => {
    const { images } = retentionOf(makeFakeEngine().builder)
    const [first, second] = await addReleases(test, 2, 't')
    let removing: Promise<number> = Promise.resolve(0)
    await db.transaction(async (tx) => {
      await holdImage(tx, first?.buildId as number)
      removing = images.remove([first?.buildId as number])
      await new Promise((resolve) => setTimeout(resolve, 200))
      await tx.query('update releases set pinned = true where id = $1', [first?.releaseId])
    })
    expect(await removing).toBe(0)

    let holding: Promise<unknown> = Promise.resolve()
    await db.transaction(async (tx) => {
      await tx.query('select 1 from builds where id = $1 for update', [second?.buildId])
      holding = db.transaction((other) => holdImage(other, second?.buildId as number)).catch((error: unknown) => error)
      await new Promise((resolve) => setTimeout(resolve, 200))
      await tx.query('update builds set image_removed_at = now() where id = $1', [second?.buildId])
    })
    expect(await holding).toMatchObject({ code: 'conflict' })
  })
})

describe('on the real engine', () => {
  const foreign = `foreign-${process.pid}:1`
  let base = ''

  beforeAll(async () => {
    base = await ensureBaseImage()
  })
  afterAll(async () => {
    await docker('rmi', '-f', foreign)
    await builds.removeAll()
    expect(await builds.traces()).toEqual([])
  })

  /** What builds.build() numbers goes into the database under the same number. */
  async function buildRelease(content: string): Promise<OldRelease & { digest: string }> {
    const { image } = await builds.build({
      Dockerfile: `FROM ${base}\nCOPY a /a\nRUN echo ${content} > /b`,
      a: content,
    })
    const made = await addRelease(db, test.id, { digest: image.digest })
    const [labelled] = await docker(
      'image',
      'inspect',
      '--format',
      '{{index .Config.Labels "slipway.build"}}',
      image.digest,
    )
    expect(Number(labelled)).toBe(made.buildId)
    return { ...made, digest: image.digest }
  }
  const isThere = (digest: string): Promise<boolean> =>
    docker('image', 'inspect', digest).then(
      () => true,
      () => false,
    )

  it('only own images go, with their layers; one that is in use stays until it is not', async () => {
    const made: (OldRelease & { digest: string })[] = []
    for (const content of ['one', 'two', 'three', 'four']) made.push(await buildRelease(content))
    const [one, two, three, four] = made as [(typeof made)[0], (typeof made)[0], (typeof made)[0], (typeof made)[0]]
    await docker('tag', base, foreign)
    const [container = ''] = await docker('create', two.digest, 'true')
    // A row that names an image that is not ours.
    const stranger = await addRelease(db, live.id, {
      digest: (await docker('image', 'inspect', '--format', '{{.Id}}', foreign))[0] ?? '',
    })
    await addRelease(db, live.id)
    await db.query(`update deploys set state = 'failed'`)

    const { retention } = retentionOf(builds.builder, 1)
    expect(await retention.run(signal)).toMatchObject({ images: 4 })
    expect(await Promise.all(made.map(({ digest }) => isThere(digest)))).toEqual([false, true, false, true])
    expect(await isThere(foreign)).toBe(true)
    expect(stranger.buildId).toBeGreaterThan(0)
    // Of the two that stay: their own images and steps, nothing of the others.
    const left = await builds.traces()
    for (const digest of [one.digest, three.digest]) expect(left.join('\n')).not.toContain(digest.slice(7, 19))

    await docker('rm', container)
    expect((await retention.run(signal)).leftOver).toBeGreaterThan(0)
    expect(await Promise.all(made.map(({ digest }) => isThere(digest)))).toEqual([false, false, false, true])
    expect(await isThere(four.digest)).toBe(true)
    await builds.builder.discard(four.buildId)
    expect(await builds.traces()).toEqual([])
  })

  it('what a finished build left beside its image goes; what is being made stays', async () => {
    const { image } = await builds.build({ Dockerfile: `FROM ${base}\nRUN echo finished > /b` })
    const [labelled] = await docker(
      'image',
      'inspect',
      '--format',
      '{{index .Config.Labels "slipway.build"}}',
      image.digest,
    )
    const finished = Number(labelled)
    // Numbers that the database has not given out.
    await db.query(`alter table builds alter column id restart with ${finished}`)
    expect((await addRelease(db, test.id, { digest: image.digest })).buildId).toBe(finished)
    const running = (await addRelease(db, test.id)).buildId
    await db.query(`update builds set state = 'running', image = null, finished_at = null where id = $1`, [running])
    const left: string[] = []
    for (const buildId of [finished, running]) {
      const [container = ''] = await docker('create', base, 'true')
      const labels = { installation: builds.installation, kind: 'build', build: buildId }
      const changes = Object.entries(labels).flatMap(([name, value]) => ['--change', `LABEL slipway.${name}=${value}`])
      left.push((await docker('commit', ...changes, container))[0] ?? '')
      await docker('rm', container)
    }
    const { images } = retentionOf(builds.builder)
    expect(await images.sweep(signal)).toBe(1)
    expect(await Promise.all([...left, image.digest].map(isThere))).toEqual([false, true, true])
    await builds.builder.discard(finished)
    await builds.builder.discard(running)
    expect(await builds.traces()).toEqual([])
  })
})
