import { execFile, spawn } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { startLoad } from './load.ts'
import { makePusher } from './pusher.ts'
import { type BenchServer, root } from './server.ts'
import { otherRates, ownLoad, type SwapResult } from './swap.ts'

const run = promisify(execFile)
const nodeImage = 'slipway-bench/node:1'

/**
 * The same load as `measureSwaps`, on real environments: each swap is a push, with its build, checks and drain on the same
 * two cores.
 */
export async function measurePushes(server: BenchServer, pushes: number): Promise<Omit<SwapResult, 'commandMs'>> {
  await makeNodeImage()
  const own = await makePusher(`${server.controlUrl}/swapped.git`, server.token)
  const other = await makePusher(`${server.controlUrl}/beside.git`, server.token)
  const push = async (pusher: typeof own, version: number): Promise<void> => {
    await pusher.commit(await nodeApp(version))
    await pusher.push('main')
  }
  try {
    await push(other, 1)
    await push(own, 1)
    const begun = performance.now()
    const loads = [
      startLoad(ownLoad(server.port, 'test--swapped.localhost')),
      startLoad({ ...otherRates, port: server.port, host: 'test--beside.localhost', socketLifeMs: null }),
    ] as const
    try {
      await delay(1_000)
      for (let version = 2; version <= pushes + 1; version += 1) {
        await push(own, version)
        loads[0].current = version
        await delay(500)
      }
    } finally {
      await Promise.all(loads.map((load) => load.stop()))
    }
    const seconds = (performance.now() - begun) / 1000
    return { swaps: pushes, seconds, own: loads[0].counts, other: loads[1].counts }
  } finally {
    await own.remove()
    await other.remove()
    await run('docker', ['rmi', nodeImage]).catch(() => undefined)
  }
}

async function nodeApp(version: number): Promise<Record<string, string>> {
  return {
    Dockerfile: `FROM ${nodeImage}\nCOPY backend.mjs /app/\nCMD ["/node", "/app/backend.mjs", "v${version}", "8080", "0.0.0.0"]\n`,
    'backend.mjs': await readFile(join(root, 'test/bench/backend.mjs'), 'utf8'),
    'slipway.yml': 'drain: 10s\nstop: 1s\n',
  }
}

/** This Node and the libraries it needs, imported as an image: no registry can be reached. */
async function makeNodeImage(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'slipway-bench-image-'))
  try {
    await copyFile(process.execPath, join(dir, 'node'))
    const { stdout } = await run('ldd', [process.execPath])
    for (const [, library = ''] of stdout.matchAll(/(?:=>\s+)?(\/\S+)\s+\(0x/g)) {
      await mkdir(join(dir, dirname(library)), { recursive: true })
      await copyFile(library, join(dir, library))
    }
    const tar = spawn('tar', ['-C', dir, '--owner=0', '--group=0', '-cf', '-', '.'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const docker = spawn('docker', ['import', '-', nodeImage], { stdio: ['pipe', 'ignore', 'inherit'] })
    tar.stdout.pipe(docker.stdin)
    const code = await new Promise((done) => docker.on('close', done))
    if (code !== 0) throw new Error('The image with Node could not be made.')
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
