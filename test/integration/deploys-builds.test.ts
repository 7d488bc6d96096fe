import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { makeBuilds } from '../../src/builds/index.ts'
import { SlipwayError } from '../../src/kernel/errors.ts'
import { makeHeldBuild } from '../support/held-build.ts'
import { waitFor } from '../support/slipway.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine

beforeEach(async () => {
  spine = await makeSpine({ buildSlots: 1 })
})
afterEach(() => spine.close())

/** Builds print what is said here, and end when they are let. */
function hold(): { say(line: string): void; finish(error?: Error): void } {
  let print: (line: string) => void = () => undefined
  const end: { resolve: () => void; reject: (error: Error) => void }[] = []
  const said: string[] = []
  spine.builder.work = (_id, { onLine }) =>
    new Promise((resolve, reject) => {
      print = onLine
      end.push({ resolve, reject })
      onLine('begun')
    })
  return {
    say(line) {
      said.push(line)
      print(line)
    },
    finish(error) {
      for (const { resolve, reject } of end.splice(0)) {
        if (error === undefined) resolve()
        else reject(error)
      }
    },
  }
}
const stateOf = async (id: number): Promise<string> => (await spine.deploys.get(id)).state
const untilState = (id: number, ...states: string[]): Promise<void> =>
  waitFor(`deploy ${id} to be ${states.join(' or ')}`, 60_000, async () => states.includes(await stateOf(id)))
const builds = (): Promise<{ id: number; state: string }[]> =>
  spine.db.query('select id, state from builds order by id')
const stored = async (id: number): Promise<string[]> =>
  (
    await spine.db.query<{ line: string }>(
      `select kind || ': ' || text as line from deploy_log where deploy_id = $1 order by seq`,
      [id],
    )
  ).map(({ line }) => line)
/** It is nobody's business here any more: it stays as it is until the heartbeat. */
const untilLeft = async (id: number): Promise<void> => {
  await new Promise((resolve) => setTimeout(resolve, 500))
  expect(await stateOf(id)).toBe('running')
}
const untilSaid = (id: number, text: string | RegExp): Promise<void> =>
  waitFor(`“${text}” in the log of ${id}`, 30_000, async () =>
    (await stored(id)).some((line) => (typeof text === 'string' ? line === text : text.test(line))),
  )
const output = (lines: string[]): string[] =>
  lines.filter((line) => /^output: \w+$/.test(line)).map((line) => line.slice(8))

describe('a build that several deploys want', () => {
  it('is made once; each of them has all of its output, the one that came late, too', async () => {
    const work = hold()
    const first = await spine.push('test', commitOf('a'))
    await untilSaid(first, 'output: begun')
    work.say('early')
    const second = await spine.push('live', commitOf('a'))
    await untilSaid(second, 'output: early')
    work.say('late')
    work.finish()
    const [one, two] = [await spine.log(first), await spine.log(second)]
    expect([await stateOf(first), await stateOf(second)]).toEqual(['live', 'live'])
    expect(output(one)).toEqual(['begun', 'early', 'late'])
    expect(output(two)).toEqual(['begun', 'early', 'late'])
    expect(two).toContain(`detail: Deploy ${first} builds the same: this one waits for its build 1, too`)
    expect(one.join('\n')).not.toMatch(/builds the same/)
    expect(spine.builder.begun).toHaveLength(1)
    expect(await builds()).toMatchObject([{ state: 'succeeded' }])
    // Who comes when it is made takes its image.
    const third = await spine.deploy('test', commitOf('a'))
    await untilState(third, 'live')
    expect(output(await spine.log(third))).toEqual([])
    expect(spine.builder.begun).toHaveLength(1)
  })

  it('has one row, however many look for it at once', async () => {
    // Nobody sweeps meanwhile (the comparison after the start ends before this one): no deploy waits for these.
    await spine.deploys.stop()
    await spine.deploys.reconcile()
    const { appId } = await spine.environment('test')
    const wish = { appId, commit: commitOf('a'), plan: await spine.tools.builds.readPlan('shop', 'a', never) }
    const joined = await Promise.all(
      Array.from({ length: 20 }, () => spine.db.transaction((tx) => spine.tools.builds.join(tx, wish))),
    )
    expect(new Set(joined.map(({ id }) => id)).size).toBe(1)
    expect(await builds()).toHaveLength(1)
  })

  it('goes on when one of them is cancelled, and ends with the last', async () => {
    const work = hold()
    const first = await spine.push('test', commitOf('a'))
    const second = await spine.push('live', commitOf('a'))
    await untilSaid(second, 'output: begun')
    await untilSaid(first, 'output: begun')
    await spine.deploys.cancel(first, 'ada')
    await untilState(first, 'cancelled')
    expect(spine.builder.containers.size).toBe(1)
    work.say('further')
    await untilSaid(second, 'output: further')
    expect(output(await spine.log(first))).toEqual(['begun'])
    await spine.deploys.cancel(second, 'ada')
    await untilState(second, 'cancelled')
    expect([...spine.builder.containers, ...spine.builder.images.keys()]).toEqual([])
    expect(await builds()).toMatchObject([{ state: 'cancelled' }])
    // Who comes now gets a build of its own.
    const third = await spine.push('test', commitOf('a'))
    await untilSaid(third, 'output: begun')
    work.finish()
    await untilState(third, 'live')
    expect(await builds()).toMatchObject([{ state: 'cancelled' }, { state: 'succeeded' }])
  })

  it('fails all of them with the same words', async () => {
    const work = hold()
    const ids = [await spine.push('test', commitOf('a')), await spine.push('live', commitOf('a'))]
    for (const id of ids) await untilSaid(id, 'output: begun')
    work.finish(new SlipwayError('build_failed', 'Step 2 ended with exit code 1.', { hint: 'Mend it.' }))
    for (const id of ids) {
      await untilState(id, 'failed')
      expect((await spine.deploys.get(id)).error).toEqual({
        code: 'build_failed',
        message: 'Step 2 ended with exit code 1.',
      })
      expect(await stored(id)).toContain('error: Mend it.')
    }
    expect(spine.builder.begun).toHaveLength(1)
  })

  it('tells one that comes when it has failed already the same, and does not begin again', async () => {
    spine.builder.work = () => Promise.reject(new SlipwayError('build_failed', 'It is broken.', { hint: 'Mend it.' }))
    const failed = await spine.push('test', commitOf('a'))
    await untilState(failed, 'failed')
    const [build] = await builds()
    const plan = await spine.tools.builds.readPlan('shop', 'a', never)
    const late = spine.tools.builds.wait(await spine.tools.builds.get(build?.id ?? 0), plan, quietWaiter(99))
    await expect(late).rejects.toMatchObject({ code: 'build_failed', message: 'It is broken.', hint: 'Mend it.' })
    expect(spine.builder.begun).toHaveLength(1)
  })

  it('that prints a flood is held in bounded memory: the first has every line, a late one is told what was cut', async () => {
    const work = hold()
    spine.builder.work = async (_id, { onLine, room }) => {
      for (let n = 0; n < 30_000; n += 1) {
        onLine(`line ${n}`)
        if (n % 500 === 0) await room?.()
      }
      await new Promise<void>((resolve) => (work.finish = () => resolve()))
    }
    const first = await spine.push('test', commitOf('a'))
    await untilSaid(first, 'output: line 29999')
    const second = await spine.push('live', commitOf('a'))
    await untilSaid(second, 'output: line 29999')
    work.finish()
    await untilState(second, 'live')
    await untilState(first, 'live')
    const [one, two] = [await stored(first), await stored(second)]
    expect(one.filter((line) => line.startsWith('output: line '))).toHaveLength(30_000)
    const told = /^detail: The first (\d+) lines are not repeated here: slipway deploys log (\d+)$/.exec(
      two.find((line) => line.startsWith('detail: The first')) ?? '',
    )
    const cut = Number(told?.[1])
    expect(told?.[2]).toBe(String(first))
    expect(cut).toBeGreaterThan(10_000)
    expect(two.filter((line) => line.startsWith('output: line '))).toHaveLength(30_000 - cut)
    expect(two).toContain(`output: line ${cut}`)
  })

  it('whose last deploy leaves while its image is made leaves none behind', async () => {
    const work = hold()
    const id = await spine.push('test', commitOf('a'))
    await untilSaid(id, 'output: begun')
    spine.builder.onImage = async () => {
      await spine.deploys.cancel(id, 'ada')
      await waitFor('the build to be ended', 30_000, async () => (await builds())[0]?.state === 'cancelled')
    }
    work.finish()
    await untilState(id, 'cancelled')
    expect(await builds()).toMatchObject([{ state: 'cancelled' }])
    await waitFor('the image to go', 30_000, () => spine.builder.images.size === 0)
  })

  it('whose output one of them cannot store goes on for the others', async () => {
    const work = hold()
    const first = await spine.push('test', commitOf('a'))
    await untilSaid(first, 'output: begun')
    const [build] = await builds()
    const plan = await spine.tools.builds.readPlan('shop', 'a', never)
    const broken = { ...quietWaiter(99), room: () => Promise.reject(new Error('full')) }
    await expect(spine.tools.builds.wait(await spine.tools.builds.get(build?.id ?? 0), plan, broken)).rejects.toThrow(
      'full',
    )
    work.say('further')
    work.finish()
    await untilState(first, 'live')
    expect(output(await spine.log(first))).toEqual(['begun', 'further'])
  })
})

describe('a build that waits for a slot', () => {
  it('says so in its row and its place in the log, and begins when it is its turn', async () => {
    const work = hold()
    const first = await spine.push('test', commitOf('a'))
    await untilSaid(first, 'output: begun')
    const second = await spine.push('live', commitOf('b'))
    await untilSaid(second, 'detail: Waiting for a build slot, next in line')
    expect(await builds()).toMatchObject([{ state: 'running' }, { state: 'waiting' }])
    const { id: live } = await spine.environment('live')
    const waitingFor = async (): Promise<(string | null)[]> => [
      (await spine.deploys.get(second)).waitingFor,
      ...(await spine.deploys.list(live, { limit: 5 })).map((deploy) => deploy.waitingFor),
    ]
    const place = 'Waiting for a build slot, next in line'
    await waitFor('its place in its row', 30_000, async () => (await waitingFor())[0] === place)
    expect(await waitingFor()).toEqual([place, place])
    expect((await spine.deploys.get(first)).waitingFor).toBeNull()
    work.finish()
    await untilState(first, 'live')
    await untilSaid(second, 'output: begun')
    expect(await builds()).toMatchObject([{ state: 'succeeded' }, { state: 'running' }])
    expect(await waitingFor()).toEqual([null, null])
    work.finish()
    await untilState(second, 'live')
  })

  it('leaves the line when its deploy is cancelled', async () => {
    const work = hold()
    const first = await spine.push('test', commitOf('a'))
    await untilSaid(first, 'output: begun')
    const second = await spine.push('live', commitOf('b'))
    await untilSaid(second, /Waiting for a build slot/)
    await spine.deploys.cancel(second, 'ada')
    await untilState(second, 'cancelled')
    expect(await builds()).toMatchObject([{ state: 'running' }, { state: 'cancelled' }])
    work.finish()
    await untilState(first, 'live')
    expect(spine.builder.begun).toHaveLength(1)
  })
})

describe('a build whose server ends', () => {
  it('starts over once for all that wait', async () => {
    const work = hold()
    const ids = [await spine.push('test', commitOf('a')), await spine.push('live', commitOf('a'))]
    for (const id of ids) await untilSaid(id, 'output: begun')
    await spine.restart()
    for (const id of ids) await untilSaid(id, 'detail: The build was cut off in its middle and starts over')
    await waitFor('the build to begin again', 30_000, () => spine.builder.begun.length === 2)
    expect(await builds()).toMatchObject([{ state: 'running' }])
    work.finish()
    for (const id of ids) await untilState(id, 'live')
    expect(new Set(spine.builder.begun).size).toBe(1)
    expect(spine.builder.begun).toHaveLength(2)
    expect(await builds()).toMatchObject([{ state: 'succeeded' }])
  })

  it('is adopted when its image was finished, and not built again', async () => {
    hold()
    const ids = [await spine.push('test', commitOf('a')), await spine.push('live', commitOf('a'))]
    for (const id of ids) await untilSaid(id, 'output: begun')
    const [build] = await builds()
    await spine.deploys.stop()
    const made = { digest: `sha256:${'1'.repeat(64)}`, sizeBytes: 1, exposedPorts: [], healthcheck: null }
    spine.builder.images.set(build?.id ?? 0, made)
    await spine.succeed()
    for (const id of ids) await untilState(id, 'live')
    expect(spine.builder.begun).toHaveLength(1)
  })

  it('and that another took over records nothing and removes nothing', async () => {
    const work = hold()
    const id = await spine.push('test', commitOf('a'))
    await untilSaid(id, 'output: begun')
    await spine.db.query(`update builds set lease_owner = 'another'`)
    work.finish(new SlipwayError('build_failed', 'Its connection was lost.'))
    await untilLeft(id)
    expect(await spine.db.query('select state, lease_owner as owner from builds')).toEqual([
      { state: 'running', owner: 'another' },
    ])
    expect(spine.builder.containers.size).toBe(1)
  })

  it('in name only: whoever took it over makes it, and what the frozen one does when it wakes changes nothing', async () => {
    const ends: { resolve: () => void; reject: (error: Error) => void }[] = []
    spine.builder.work = (_id, { onLine }) => {
      onLine('begun')
      return new Promise((resolve, reject) => void ends.push({ resolve, reject }))
    }
    const id = await spine.push('test', commitOf('a'))
    await untilSaid(id, 'output: begun')
    const plan = await spine.tools.builds.readPlan('shop', 'a', never)
    const [{ id: buildId = 0 } = {}] = await builds()
    const other = spine.newBuilds()
    const taken = other.wait(await other.get(buildId), plan, quietWaiter(id))
    await waitFor('the other to begin', 30_000, () => ends.length === 2)
    ends[0]?.reject(new SlipwayError('build_failed', 'Its containers were removed.'))
    await untilLeft(id)
    expect(await builds()).toMatchObject([{ state: 'running' }])
    expect(spine.builder.containers.size).toBe(1)
    ends[1]?.resolve()
    expect(await taken).toMatchObject({ state: 'succeeded' })
    expect(await builds()).toMatchObject([{ state: 'succeeded' }])
    // The deploy is still this server's: the heartbeat takes it up again.
    await untilState(id, 'live')
  })

  it('and that nobody waits for any more is ended and swept', async () => {
    // The comparison after the start sweeps, too.
    await spine.deploys.stop()
    await spine.deploys.reconcile()
    const { appId } = await spine.environment('test')
    const plan = await spine.tools.builds.readPlan('shop', 'a', never)
    const build = await spine.db.transaction((tx) =>
      spine.tools.builds.join(tx, { appId, commit: commitOf('a'), plan }),
    )
    await spine.db.query(`update builds set state = 'running', lease_owner = 'gone'`)
    spine.builder.containers.add(build.id)
    expect(await spine.tools.builds.sweep()).toBe(1)
    expect(await builds()).toMatchObject([{ state: 'cancelled' }])
    expect(spine.builder.containers.size).toBe(0)
  })

  it('stays when it is swept while a deploy waits for it', async () => {
    const work = hold()
    const id = await spine.push('test', commitOf('a'))
    await untilSaid(id, 'output: begun')
    expect(await spine.tools.builds.sweep()).toBe(0)
    // As another server that does not make it sees it.
    const other = makeBuilds({
      db: spine.db,
      builder: spine.builder,
      source: undefined as never,
      settings: { slots: 1 } as never,
    })
    expect(await other.sweep()).toBe(0)
    work.finish()
    await untilState(id, 'live')
  })
})

const never = new AbortController().signal
const quietWaiter = (deployId: number) => ({
  deployId,
  app: 'shop',
  onLine: () => undefined,
  room: async () => undefined,
  onNote: () => undefined,
  onPlace: () => undefined,
  signal: never,
})

it('a deploy that forces a rebuild shares its build with nobody, also after a restart', async () => {
  const held = hold()
  const ask = async (name: 'test' | 'live'): Promise<number> => {
    const { id: environmentId } = await spine.environment(name)
    const common = { environmentId, kind: 'push', branch: 'main', requestedBy: 'ada', pushId: null } as const
    const queued = await spine.db.transaction((tx) =>
      spine.deploys.request(tx, { ...common, commit: commitOf('a'), forceRebuild: true }),
    )
    spine.deploys.wake()
    return queued.deployId
  }
  const [first, second] = [await ask('test'), await ask('live')]
  await waitFor('both builds to be there', 20_000, async () => (await builds()).length === 2)
  await spine.restart()
  held.finish()
  await waitFor('both to end', 30_000, async () => {
    held.finish()
    return (await Promise.all([first, second].map(stateOf))).every((state) => state === 'live')
  })
  expect((await builds()).map(({ state }) => state)).toEqual(['succeeded', 'succeeded'])
  expect(
    new Set(await Promise.all([first, second].map(async (id) => (await spine.deploys.get(id)).buildId))).size,
  ).toBe(2)
})

it.each(['before it waits', 'as soon as it waits'])('is left to nobody by a deploy that is to end %s', async (when) => {
  spine.onBuild = makeHeldBuild().hook
  const plan = await spine.tools.builds.readPlan('shop', commitOf('a'), new AbortController().signal)
  const { id } = await spine.db.transaction(async (tx) =>
    spine.tools.builds.join(tx, { appId: (await spine.environment('test')).appId, commit: commitOf('a'), plan }),
  )
  const ending = new AbortController()
  const end = (): void => ending.abort(new SlipwayError('cancelled', 'The deploy is to end.'))
  if (when === 'before it waits') end()
  const waiting = spine.tools.builds.wait(await spine.tools.builds.get(id), plan, {
    deployId: 1,
    app: 'shop',
    onLine: () => undefined,
    room: async () => undefined,
    onNote: () => undefined,
    onPlace: () => undefined,
    signal: ending.signal,
  })
  end()
  await expect(waiting).rejects.toMatchObject({ code: 'cancelled' })
  expect((await spine.tools.builds.get(id)).state).toBe('cancelled')
})
