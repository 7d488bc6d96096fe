import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { labelNames } from '../../src/runtime/index.ts'
import { makeTestRuntime, type TestRuntime } from '../support/docker-runtime.ts'
import { makeLogFolder, makeTestCollector, readJournal } from '../support/kept-logs.ts'

let test: TestRuntime
let folder: string
let kept: ReturnType<typeof makeTestCollector>
const place = { app: 'shop', environment: 'test', journal: 'v7' }

beforeAll(async () => {
  test = await makeTestRuntime()
  folder = await makeLogFolder()
  kept = makeTestCollector(test.runtime, folder)
})

afterAll(async () => {
  await kept.remove()
  await test.dispose()
})

const never = new AbortController().signal

/** Runs a shell script as an instance of release v7 of shop's test. */
async function print(which: string, script: string, kind = 'instance'): Promise<string> {
  const name = `slw-${test.site.installation}-test--shop-v7-${which}`
  const labels = {
    [labelNames.app]: 'shop',
    [labelNames.environment]: 'test',
    [labelNames.kind]: kind,
    [labelNames.release]: '70',
    [labelNames.deploy]: '700',
  }
  const spec = { ...test.spec({ name, labels, address: null }), argv: ['/bin/sh', '-c', script] }
  // `run` waits for the end; the container is there a moment later.
  test.runtime.run(spec, { onLine: () => undefined, timeoutMs: 60_000, signal: never }).catch(() => undefined)
  return eventually(async () => (await test.runtime.list()).find((one) => one.name === name)?.containerId)
}

async function eventually<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    const found = await look()
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('It did not happen.')
}

const linesOf = async (from: string): Promise<string[]> =>
  (await readJournal(folder, place)).filter((line) => line.startsWith(`${from} `)).map((l) => l.slice(from.length + 1))

const count = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => `line ${from + i}`)

const counting = (to: number, pause: string): string =>
  `i=0; while [ $i -lt ${to} ]; do i=$((i+1)); echo line $i; ${pause}; done`

describe('what containers print', () => {
  it('is kept whole and once, over restarts of the collector in the middle', async () => {
    kept.start()
    const id = await print('1', `${counting(600, 'usleep 5000')}; sleep 300`)
    for (let life = 1; life <= 6; life += 1) {
      await new Promise((resolve) => setTimeout(resolve, 350))
      await kept.stop()
      await new Promise((resolve) => setTimeout(resolve, 150))
      kept.start()
    }
    await eventually(async () => ((await linesOf('web.1')).length >= 600 ? true : undefined))
    await kept.flush()
    expect(await linesOf('web.1')).toEqual(count(1, 600))
    await test.runtime.remove(id)
  })

  it('is there to its last line when the container is removed, and stays', async () => {
    const id = await print('2', `${counting(3000, ':')}; echo the end >&2; printf 'no line end'`)
    await eventually(async () => ((await test.runtime.inspect(id))?.state === 'exited' ? true : undefined))
    await kept.settled(id)
    await test.runtime.remove(id)
    await kept.flush()
    const lines = await linesOf('web.2')
    expect(lines.filter((line) => line.startsWith('line '))).toEqual(count(1, 3000))
    // The order of the two outputs is the engine's.
    expect(lines.filter((line) => !line.startsWith('line ')).sort()).toEqual(['no line end', 'the end'])
  })

  it('of a container that came and went while nobody collected is kept too', async () => {
    await kept.stop()
    const id = await print('command-1', counting(50, ':'), 'command')
    await eventually(async () => ((await test.runtime.inspect(id))?.state === 'exited' ? true : undefined))
    kept.start()
    await kept.settled(id)
    await test.runtime.remove(id)
    await kept.flush()
    expect(await linesOf('command-1')).toEqual(count(1, 50))
  })

  it('may be anything: long lines are cut and that is told, control bytes are shown', async () => {
    const script = [
      `head -c 100000 /dev/zero | tr '\\0' x; echo`,
      `echo after; printf 'a\\033]0;title\\007b\\r\\nnul \\000 byte\\n'; head -c 300000 /dev/zero | tr '\\0' y`,
    ].join('; ')
    const id = await print('3', script)
    await eventually(async () => ((await test.runtime.inspect(id))?.state === 'exited' ? true : undefined))
    await kept.settled(id)
    await test.runtime.remove(id)
    await kept.flush()
    const lines = await linesOf('web.3')
    const long = (letter: string): string => `${letter.repeat(8192)} … (line cut at 8192 bytes)`
    expect(lines).toEqual([long('x'), 'after', 'a^[]0;title^Gb', 'nul ^@ byte', long('y')])
  })

  it('of an instance that is started again goes on in the same place', async () => {
    const id = await print('4', 'echo begun; sleep 300')
    await eventually(async () => ((await linesOf('web.4')).length === 1 ? true : undefined))
    await test.runtime.stop(id, 0)
    await test.docker.getContainer(id).start()
    await eventually(async () => ((await linesOf('web.4')).length === 2 ? true : undefined))
    await test.runtime.remove(id)
    expect(await linesOf('web.4')).toEqual(['begun', 'begun'])
    const ofIt = (line: string): boolean => line.startsWith('web.4 ') || line.startsWith('slipway web.4 ')
    expect((await readJournal(folder, place)).filter(ofIt).slice(0, 4)).toEqual([
      'web.4 begun',
      // Whether it is back when the log asks is the engine's: it was started at once.
      expect.stringMatching(
        /^slipway web\.4 ended \(exit code (137, killed|143)\)(; it is started again, later each time while it ends at once)?$/,
      ),
      'slipway web.4 was started again',
      'web.4 begun',
    ])
  })

  it('of one that floods is read to its end when it is removed, though not as fast before', async () => {
    const id = await print(
      '5',
      "yes 'a line of fifty bytes or so, again and again......' | head -n 400000; echo the last",
    )
    await eventually(async () => ((await test.runtime.inspect(id))?.state === 'exited' ? true : undefined))
    // It waits 5 s at most, which a busy machine may need several times.
    for (let attempt = 0; attempt < 4; attempt += 1) await kept.settled(id)
    await test.runtime.remove(id)
    await kept.flush()
    expect((await linesOf('web.5')).at(-1)).toBe('the last')
  })
})
