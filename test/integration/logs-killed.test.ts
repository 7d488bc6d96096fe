import { type ChildProcess, spawn } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals'
import { labelNames } from '../../src/runtime/index.ts'
import { dockerOf } from '../support/docker.ts'
import { makeLogFolder, readJournal } from '../support/kept-logs.ts'
import { type OwnEngine, startOwnEngine } from '../support/own-engine.ts'

jest.setTimeout(120_000)

let own: OwnEngine
let folder: string
let collecting: ChildProcess | null = null
const installation = `lk${process.pid}`
const containers: string[] = []

beforeAll(async () => {
  own = await startOwnEngine()
  folder = await makeLogFolder()
})

afterAll(async () => {
  await kill()
  const docker = dockerOf(own.socketPath)
  for (const id of containers) await docker.getContainer(id).remove({ force: true })
  await own.close()
  await rm(folder, { recursive: true, force: true })
})

async function collect(): Promise<void> {
  const script = resolve(__dirname, '../support/collect.ts')
  const child = spawn(process.execPath, [script, own.socketPath, installation, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  collecting = child
  await new Promise((done) => child.stdout.once('data', done))
}

async function kill(): Promise<void> {
  const child = collecting
  collecting = null
  if (child === null) return
  const ended = new Promise((done) => child.once('exit', done))
  child.kill('SIGKILL')
  await ended
}

/** Prints `line 1` to `line <to>`, one in 5 ms, on both outputs in turn. */
async function print(which: number, to: number): Promise<void> {
  const docker = dockerOf(own.socketPath)
  const script = `i=0; while [ $i -lt ${to} ]; do i=$((i+1)); echo line $i; i=$((i+1)); echo line $i >&2; usleep 10000; done; sleep 600`
  const container = await docker.createContainer({
    name: `slw-${installation}-test--shop-v1-${which}`,
    Image: own.image,
    Entrypoint: ['/bin/sh', '-c', script],
    Labels: {
      [labelNames.installation]: installation,
      [labelNames.app]: 'shop',
      [labelNames.environment]: 'test',
      [labelNames.kind]: 'instance',
    },
    HostConfig: {
      NetworkMode: 'none',
      // Rotated in the middle, so that what was seen last is found in another file.
      LogConfig: { Type: 'json-file', Config: { 'max-size': '20k', 'max-file': '5' } },
    },
  })
  containers.push(container.id)
  await container.start()
}

async function linesOf(which: number): Promise<string[]> {
  const all = await readJournal(folder, { app: 'shop', environment: 'test', journal: 'v1' })
  return all.filter((line) => line.startsWith(`web.${which} `)).map((line) => line.slice(`web.${which} `.length))
}

async function untilAllCame(which: number, to: number): Promise<void> {
  for (let attempt = 0; attempt < 1_500; attempt += 1) {
    if ((await linesOf(which)).includes(`line ${to}`) && (await linesOf(which)).includes(`line ${to - 1}`)) return
    await pause(100)
  }
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

/** The two outputs may overtake each other; each is in order. */
function expectWholeAndOnce(lines: readonly string[], to: number): void {
  const numbers = lines.map((line) => Number(line.slice('line '.length)))
  for (const rest of [0, 1]) {
    const expected = Array.from({ length: to }, (_, i) => i + 1).filter((n) => n % 2 === rest)
    expect(numbers.filter((n) => n % 2 === rest)).toEqual(expected)
  }
}

describe('no line is lost and none is there twice', () => {
  it('when Slipway is killed again and again', async () => {
    await collect()
    await print(1, 1200)
    for (let life = 1; life <= 5; life += 1) {
      await pause(700)
      await kill()
      await pause(200)
      await collect()
    }
    await untilAllCame(1, 1200)
    await kill()
    expectWholeAndOnce(await linesOf(1), 1200)
  })

  it('when the engine is killed, and comes back', async () => {
    await collect()
    await print(2, 1200)
    for (let life = 1; life <= 2; life += 1) {
      await pause(1500)
      await own.kill()
      await own.start()
    }
    await untilAllCame(2, 1200)
    await kill()
    expectWholeAndOnce(await linesOf(2), 1200)
  })
})
