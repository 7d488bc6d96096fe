import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { readLog, untilAllEnded, untilRetired } from '../support/crashes.ts'
import { listHoldings } from '../support/holdings.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'

const run = promisify(execFile)

/** An app whose two environments follow one branch, on the real engine. */
describe('one push to two environments', () => {
  let slipway: Slipway
  let clone: Clone
  let version = 0

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway()
    await slipway.start()
    expect((await slipway.api('POST', '/apps', { name: 'shop' })).status).toBe(201)
    const changed = await slipway.api('PATCH', '/apps/shop/environments/live', { branch: 'develop' })
    expect(changed.status).toBe(200)
    clone = await makeClone(slipway, 'shop')
  })

  afterAll(async () => {
    await clone.remove()
    expect(await slipway.remove()).toEqual([])
  })

  interface Row {
    readonly id: number
    readonly state: string
    readonly build: string
  }
  /** Pushes and does not wait. Returns the two deploys, oldest first. */
  const push = async (pause: string): Promise<[number, number]> => {
    version += 1
    const { Dockerfile = '', ...rest } = page(`v${version}`)
    const step = `RUN echo begun ${version}; ${pause}; echo over ${version}\n`
    await clone.write({ ...rest, Dockerfile: Dockerfile.replace('CMD', `${step}CMD`), 'slipway.yml': 'drain: 1s\n' })
    await clone.push('develop', '-o', 'nowait')
    const [newer, older] = await newestTwo()
    return [older.id, newer.id]
  }
  const newestTwo = async (): Promise<[Row, Row]> => {
    const rows = await slipway.sql<{ id: string; state: string; build: string }>(
      'select id, state, build_id as build from deploys order by id desc limit 2',
    )
    const [newer, older] = rows.map((row) => ({ ...row, id: Number(row.id) }))
    return [newer as Row, older as Row]
  }
  const untilSaid = (id: number, text: string): Promise<void> =>
    waitFor(`“${text}” in the log of deploy ${id}`, 60_000, async () =>
      (await readLog(slipway, id)).some((line) => line.text === text),
    )
  const untilState = (id: number, state: string): Promise<void> =>
    waitFor(`deploy ${id} to be ${state}`, 60_000, async () => {
      const rows = await slipway.sql('select 1 from deploys where id = $1 and state = $2', [id, state])
      return rows.length > 0
    })
  const cancel = async (id: number): Promise<void> => {
    expect((await slipway.api('POST', `/deploys/${id}/cancellation`)).status).toBe(202)
  }
  const countSteps = async (): Promise<number> => {
    const of = [`slipway.installation=${slipway.installation}`, 'slipway.kind=build'].flatMap((label) => [
      '--filter',
      `label=${label}`,
    ])
    const { stdout } = await run('docker', ['ps', '-aq', ...of])
    return stdout.split('\n').filter((line) => line !== '').length
  }
  const builds = (): Promise<{ state: string }[]> => slipway.sql('select state from builds order by id')
  const outputOf = async (id: number): Promise<string[]> =>
    (await readLog(slipway, id)).filter(({ text }) => /^(begun|over) \d+$/.test(text)).map(({ text }) => text)

  it('makes one build: both go live with it, and both logs have its output', async () => {
    const [first, second] = await push('sleep 2')
    await untilAllEnded(slipway)
    const [one, two] = await newestTwo()
    expect([one.state, two.state]).toEqual(['live', 'live'])
    expect(one.build).toBe(two.build)
    expect(await builds()).toEqual([{ state: 'succeeded' }])
    for (const id of [first, second]) expect(await outputOf(id)).toEqual(['begun 1', 'over 1'])
    for (const host of ['test--shop.localhost', 'shop.localhost']) {
      expect((await slipway.get(host)).body).toBe('v1\n')
    }
  })

  it('shows its pusher what the build prints once, and both names over it', async () => {
    const { Dockerfile = '', ...rest } = page('shown')
    await clone.write({ ...rest, Dockerfile: Dockerfile.replace('CMD', 'RUN echo shown once\nCMD') })
    const { output, results } = await clone.push('develop')
    expect(results).toMatchObject([{ status: 'live' }, { status: 'live' }])
    expect(output.match(/^remote: {8}shown once/gm)).toHaveLength(1)
    expect(output).toMatch(/-----> One build for \w+ and \w+ \(deploys \d+ and \d+\)[\s\S]*shown once/)
    const [newer, older] = await newestTwo()
    for (const { id } of [newer, older])
      expect((await readLog(slipway, id)).filter(({ text }) => text === 'shown once')).toHaveLength(1)
  })

  it('of which one is cancelled: the build goes on for the other', async () => {
    const [first, second] = await push('sleep 6')
    for (const id of [first, second]) await untilSaid(id, 'begun 2')
    await cancel(first)
    await untilState(first, 'cancelled')
    expect(await countSteps()).toBeGreaterThan(0)
    await untilState(second, 'live')
    expect(await outputOf(first)).toEqual(['begun 2'])
    expect(await outputOf(second)).toEqual(['begun 2', 'over 2'])
    expect(await builds()).toHaveLength(3)
  })

  it('of which both are cancelled: the build ends with the last, and nothing of it stays', async () => {
    await untilRetired(slipway)
    const before = await listHoldings(slipway)
    const [first, second] = await push('sleep 300')
    for (const id of [first, second]) await untilSaid(id, 'begun 3')
    await Promise.all([cancel(first), cancel(second)])
    for (const id of [first, second]) await untilState(id, 'cancelled')
    expect(await countSteps()).toBe(0)
    expect((await builds()).at(-1)).toEqual({ state: 'cancelled' })
    expect(await listHoldings(slipway)).toEqual(before)
  })

  it('during which Slipway is killed: the build starts over once, and both go live with it', async () => {
    const [first, second] = await push('sleep 5')
    for (const id of [first, second]) await untilSaid(id, 'begun 4')
    await slipway.stop('SIGKILL')
    await slipway.start()
    await untilAllEnded(slipway)
    const [one, two] = await newestTwo()
    expect([one.state, two.state]).toEqual(['live', 'live'])
    expect(one.build).toBe(two.build)
    expect(await builds()).toHaveLength(5)
    for (const id of [first, second]) {
      expect((await outputOf(id)).slice(-2)).toEqual(['begun 4', 'over 4'])
      expect((await readLog(slipway, id)).map(({ text }) => text)).toContain(
        'The build was cut off in its middle and starts over',
      )
    }
    expect(await countSteps()).toBe(0)
  })
})
