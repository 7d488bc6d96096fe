import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { type Instance, type InstanceChange, labelNames, type Runtime } from '../../../src/runtime/index.ts'
import { makeLogFolder, makeTestCollector, readJournal } from '../../support/kept-logs.ts'

const containerId = 'c'.repeat(64)
const firstStart = new Date('2026-11-21T10:00:00.500Z')
const secondStart = new Date('2026-11-21T10:05:00.500Z')
const place = { app: 'shop', environment: 'test', journal: 'v7' }

/** An engine with one container: each of its starts prints, and then prints no more until it ends. */
function makeOneContainer() {
  const lines: { at: string; output: 'stdout'; text: string }[] = []
  let instance: Instance = {
    ...{ containerId, name: 'slw-x-test--shop-v7-1', image: 'sha256:1', address: null, restarts: 0, isKept: false },
    labels: {
      [labelNames.app]: 'shop',
      [labelNames.environment]: 'test',
      [labelNames.kind]: 'instance',
      [labelNames.release]: '70',
    },
    ...{ state: 'running', exitCode: null, outOfMemory: false, createdAt: firstStart, startedAt: firstStart },
  }
  let onChange: (change: InstanceChange) => void = () => undefined
  let ended = Promise.withResolvers<void>()
  const change = (kind: InstanceChange['kind'], exitCode?: number): void =>
    onChange({ kind, containerId, labels: instance.labels, ...(exitCode === undefined ? {} : { exitCode }) })
  const engine = {
    /** What happens between the moment in which somebody is told of the container and that in which its output is opened. */
    beforeRead: (): void => undefined,
    print: (at: Date, text: string) =>
      void lines.push({ at: at.toISOString().replace('Z', '000001Z'), output: 'stdout', text }),
    end() {
      instance = { ...instance, state: 'exited', exitCode: 1 }
      change('died', 1)
      ended.resolve()
    },
    startAgain() {
      instance = { ...instance, state: 'running', exitCode: null, startedAt: secondStart }
      ended = Promise.withResolvers()
      change('started')
    },
  }
  const runtime: Pick<Runtime, 'readLog' | 'inspect' | 'list' | 'watch'> = {
    inspect: async () => instance,
    list: async () => [instance],
    async *readLog() {
      engine.beforeRead()
      yield [...lines]
      if (instance.state === 'running') await ended.promise
    },
    watch(listener) {
      onChange = listener
      listener({ kind: 'resync', containerId: null, labels: {} })
    },
  }
  return { engine, runtime }
}

describe('the output of an instance that is started again', () => {
  let folder: string
  let kept: ReturnType<typeof makeTestCollector> | null = null
  beforeEach(async () => {
    folder = await makeLogFolder()
  })
  afterEach(async () => {
    await kept?.remove()
  })

  const untilKept = async (text: string): Promise<readonly string[]> => {
    for (let attempt = 0; attempt < 400; attempt += 1) {
      const lines = await readJournal(folder, place).catch(() => [])
      if (lines.some((line) => line.includes(text))) return lines
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    throw new Error(`“${text}” was not kept`)
  }

  it('says so before the lines of the second start, also when it came while the last of the first were read', async () => {
    const { engine, runtime } = makeOneContainer()
    kept = makeTestCollector(runtime, folder)
    engine.print(firstStart, 'begun')
    kept.start()
    await untilKept('begun')
    engine.beforeRead = () => {
      engine.beforeRead = () => undefined
      // Its last words and its first ones come in one piece.
      engine.print(new Date(secondStart.getTime() - 60_000), 'last words')
      engine.startAgain()
      engine.print(new Date(secondStart.getTime() - 300), 'begun again')
    }
    engine.end()
    expect(await untilKept('begun again')).toEqual([
      'web.1 begun',
      'slipway web.1 ended (exit code 1)',
      'web.1 last words',
      'slipway web.1 was started again',
      'web.1 begun again',
    ])
  })
})
