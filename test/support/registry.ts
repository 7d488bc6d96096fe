import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './free-port.ts'

/** Debian's image registry on a free loopback port; the engine speaks plain HTTP to 127.0.0.0/8. */
export interface Registry {
  /** `127.0.0.1:41234`: what image names begin with. */
  readonly address: string
  /** Stops it; the images in it stay. */
  stop(): Promise<void>
  /** Starts it again at the same address. */
  start(): Promise<void>
  /** Stops it and removes its files. */
  remove(): Promise<void>
}

export async function startRegistry(): Promise<Registry> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-registry-'))
  const port = await freePort()
  const address = `127.0.0.1:${port}`
  const config = join(folder, 'config.yml')
  await writeFile(
    config,
    `version: 0.1\nlog: { level: error }\nstorage: { filesystem: { rootdirectory: ${folder}/data } }\nhttp: { addr: "${address}" }\n`,
  )
  let child: ChildProcess | null = null

  const start = async (): Promise<void> => {
    const started = spawn('docker-registry', ['serve', config], { stdio: 'ignore' })
    child = started
    for (let attempt = 0; attempt < 1_000; attempt++) {
      if (started.exitCode !== null) throw new Error(`docker-registry ended with ${started.exitCode}`)
      const answers = await fetch(`http://${address}/v2/`).then(
        (response) => response.ok,
        () => false,
      )
      if (answers) return
      await delay(25)
    }
    throw new Error('docker-registry does not answer')
  }
  const stop = async (): Promise<void> => {
    const running = child
    child = null
    if (running === null || running.exitCode !== null) return
    const gone = new Promise((resolve) => running.once('exit', resolve))
    running.kill('SIGKILL')
    await gone
  }

  await start()
  return {
    address,
    start,
    stop,
    remove: async () => {
      await stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
