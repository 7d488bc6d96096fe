import { type ChildProcess, spawn } from 'node:child_process'
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { labelNames } from '../../src/runtime/index.ts'
import { ensureBaseImage } from '../support/base-image.ts'
import { dockerOf } from '../support/docker.ts'
import { readJournal } from '../support/kept-logs.ts'
import { cpuMicros, residentMb } from './process-figures.ts'
import { root } from './server.ts'

export interface LogRounds {
  readonly containers: number
  readonly linesPerSecond: number
  /** Shares of a core, in percent: Slipway's collector, and a bare Node process that writes the same streams to files. */
  readonly slipway: readonly number[]
  readonly bare: readonly number[]
  /** Of the collector at the end, MB. */
  readonly residentMb: number
  /** Lines that were printed and not kept, or kept twice. */
  readonly wrong: number
}

const socketPath = '/var/run/docker.sock'
const containers = 100
const linesEach = 10

/**
 * A hundred environments print ten lines a second each: every container follows one file that grows here, so that printing
 * costs next to nothing. CPU of the process that keeps it, in turn with the floor.
 */
export async function measureLogs(rounds: number, seconds: number): Promise<LogRounds> {
  const installation = `bench${process.pid}`
  const dir = await mkdtemp(join(tmpdir(), 'slipway-bench-logs-'))
  const docker = dockerOf(socketPath)
  const ids: string[] = []
  const slipway: number[] = []
  const bare: number[] = []
  const feed = makeFeed(join(dir, 'feed'))
  try {
    await feed.begin()
    for (let at = 1; at <= containers; at += 1) ids.push(await startPrinter(docker, installation, at, dir))
    let memory = 0
    for (let round = 0; round < rounds; round += 1) {
      const side = async (isSlipway: boolean): Promise<void> => {
        const child = await startSide(isSlipway ? collector(installation, dir) : bareFollower(dir, ids))
        // What was printed before is read first.
        await delay(3_000)
        const [cpu, begunMs] = [cpuMicros(child.pid as number), performance.now()]
        await delay(seconds * 1000)
        const percent = (cpuMicros(child.pid as number) - cpu) / (performance.now() - begunMs) / 10
        ;(isSlipway ? slipway : bare).push(percent)
        if (isSlipway) memory = residentMb(child.pid as number)?.now ?? 0
        child.kill('SIGKILL')
      }
      await side(round % 2 === 0)
      await side(round % 2 === 1)
    }
    const printed = await feed.end()
    const wrong = await countWrong(installation, dir, printed)
    return { containers, linesPerSecond: containers * linesEach, slipway, bare, residentMb: memory, wrong }
  } finally {
    await feed.end()
    for (const id of ids) await docker.getContainer(id).remove({ force: true })
    await rm(dir, { recursive: true, force: true })
  }
}

type Docker = ReturnType<typeof dockerOf>

async function startPrinter(docker: Docker, installation: string, at: number, dir: string): Promise<string> {
  const container = await docker.createContainer({
    name: `slw-${installation}-test--app${at}-v1-1`,
    Image: await ensureBaseImage(),
    Entrypoint: ['tail', '-n', '+1', '-f', '/feed/feed'],
    Labels: {
      [labelNames.installation]: installation,
      [labelNames.app]: `app${at}`,
      [labelNames.environment]: 'test',
      [labelNames.kind]: 'instance',
    },
    HostConfig: {
      NetworkMode: 'none',
      Binds: [`${dir}:/feed:ro`],
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } },
    },
  })
  await container.start()
  return container.id
}

/** Ten lines a second, like those of a web server. */
function makeFeed(path: string) {
  let printed = 0
  let timer: NodeJS.Timeout | undefined
  let last: Promise<void> = Promise.resolve()
  const add = (): void => {
    const lines = Array.from(
      { length: linesEach },
      () =>
        `10.213.0.1 - - "GET /shop/item?id=${(printed += 1)} HTTP/1.1" 200 5123 "-" "Mozilla/5.0 (X11; Linux x86_64)"\n`,
    )
    last = last.then(() => appendFile(path, lines.join('')))
  }
  return {
    async begin(): Promise<void> {
      await writeFile(path, '')
      timer = setInterval(add, 1000)
    },
    async end(): Promise<number> {
      clearInterval(timer)
      await last
      return printed
    },
  }
}

const collector = (installation: string, dir: string): string[] => [
  join(root, 'test/support/collect.ts'),
  ...[socketPath, installation, join(dir, 'kept')],
]

const bareFollower = (dir: string, ids: readonly string[]): string[] => [
  '--input-type=module',
  '-e',
  `import { request } from 'node:http'
import { createWriteStream } from 'node:fs'
const [socketPath, dir, ...ids] = process.argv.slice(1)
for (const id of ids) {
  const path = '/containers/' + id + '/logs?stdout=1&stderr=1&timestamps=1&follow=1&tail=0'
  request({ socketPath, path }, (res) => res.pipe(createWriteStream(dir + '/bare-' + id))).end()
}
console.log('following')`,
  ...[socketPath, dir, ...ids],
]

async function startSide(args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise((done) => child.stdout.once('data', done))
  return child
}

/** The collector once more, until nothing comes: then every line of every container must be there once. */
async function countWrong(installation: string, dir: string, printed: number): Promise<number> {
  const child = await startSide(collector(installation, dir))
  await delay(6_000)
  child.kill('SIGKILL')
  let wrong = 0
  for (let at = 1; at <= containers; at += 1) {
    const lines = await readJournal(join(dir, 'kept'), { app: `app${at}`, environment: 'test', journal: 'v1' })
    wrong += Math.abs(lines.length - new Set(lines).size) + Math.abs(printed - new Set(lines).size)
  }
  return wrong
}
