import { beforeEach, describe, expect, it } from '@jest/globals'
import { buildHeading } from '../../../src/deploys/index.ts'
import { followDeploys } from '../../../src/git/follow-deploys.ts'
import { silentLogger } from '../../../src/kernel/logger.ts'
import { makeScriptedDeploys, type ScriptedDeploys } from '../../support/scripted-deploys.ts'

const commit = 'c0ffee0000000000000000000000000000000001'
const environments = ['test', 'live', 'stage']

let deploys: ScriptedDeploys
beforeEach(() => {
  deploys = makeScriptedDeploys({
    environmentOf: (id) => ({
      ...{ environmentId: id, appId: 1, app: 'shop', label: 'x', live: false },
      environment: environments[id - 1] ?? '',
    }),
  })
})

const request = async (environmentId: number) => {
  const wish = { environmentId, kind: 'push', branch: 'main', commit, requestedBy: 'ada', pushId: 1 } as const
  const queued = await deploys.request(null as never, wish)
  return { ...queued, commit, environment: environments[environmentId - 1] ?? '' }
}
const begin = (id: number, buildId: number): void => {
  deploys.move(id, { state: 'running', step: 'build', buildId })
  deploys.write(id, 'step', buildHeading(commit).text)
}
/** What a build prints, and what comes after it. */
const build = (id: number, ...lines: string[]): void => {
  for (const text of lines) deploys.write(id, 'output', text)
}
const goLive = (id: number): void => {
  deploys.write(id, 'step', 'Running one release command')
  deploys.write(id, 'output', `migrated by ${id}`)
  deploys.end(id, 'live')
}

async function follow(queued: Awaited<ReturnType<typeof request>>[]): Promise<string[]> {
  const lines: string[] = []
  const line = async (text: string): Promise<void> => void lines.push(text)
  const gone = new AbortController().signal
  await followDeploys({ deploys: deploys as never, logger: silentLogger }, queued, { line, gone })
  return lines
}

describe('a push with several deploys', () => {
  it('shows what their one build prints once, under a heading that names them', async () => {
    const queued = [await request(1), await request(2), await request(3)]
    for (const [id, buildId] of [
      [1, 7],
      [2, 7],
      [3, 8],
    ] as const) {
      begin(id, buildId)
      build(id, 'Step 1/2', 'Step 2/2')
      goLive(id)
    }
    expect(await follow(queued)).toEqual([
      '-----> Building c0ffee0000 without layer cache',
      '-----> One build for test and live (deploys 1 and 2); what it prints is shown once',
      '       Step 1/2',
      '       Step 2/2',
      '-----> Running one release command',
      '       migrated by 1',
      '-----> Building c0ffee0000 without layer cache',
      '       What it prints is shown above, with test; also in: slipway deploys log 2',
      '-----> Running one release command',
      '       migrated by 2',
      '-----> Building c0ffee0000 without layer cache',
      '       Step 1/2',
      '       Step 2/2',
      '-----> Running one release command',
      '       migrated by 3',
    ])
  })

  it('waits a moment for those that are about to join the build', async () => {
    const queued = [await request(1), await request(2)]
    begin(1, 7)
    deploys.move(2, { state: 'running', step: 'build' })
    build(1, 'Step 1/1')
    setTimeout(() => {
      begin(2, 7)
      build(2, 'Step 1/1')
      for (const id of [1, 2]) goLive(id)
    }, 100)
    const lines = await follow(queued)
    expect(lines.filter((line) => line.includes('One build for test and live'))).toHaveLength(1)
    expect(lines.filter((line) => line.includes('Step 1/1'))).toHaveLength(1)
  })

  it('shows the rest of a build whose first deploy was cancelled in its middle', async () => {
    const queued = [await request(1), await request(2)]
    for (const id of [1, 2]) begin(id, 7)
    build(1, 'one')
    deploys.end(1, 'cancelled')
    build(2, 'one', 'two', 'three')
    goLive(2)
    const lines = await follow(queued)
    expect(lines.filter((line) => /^ {7}(one|two|three)$/.test(line)).map((line) => line.trim())).toEqual([
      'one',
      'two',
      'three',
    ])
  })

  it('with one deploy asks nothing and shows everything', async () => {
    const queued = [await request(1)]
    begin(1, 7)
    build(1, 'Step 1/1')
    goLive(1)
    deploys.get = () => Promise.reject(new Error('nobody needs to know'))
    expect(await follow(queued)).toHaveLength(4)
  })
})
