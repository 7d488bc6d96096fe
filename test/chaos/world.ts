import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type OwnDatabase, ownDatabaseOf } from '../support/own-database.ts'
import { makeOwnMachine, type OwnMachine } from '../support/own-machine.ts'
import { mountSmallDisk, type SmallDisk } from '../support/small-disk.ts'
import { type Clone, makeClone, type Slipway } from '../support/slipway.ts'
import { pageOf } from './apps.ts'

/** A machine with everything that Slipway stands on, which is broken and mended. Nothing of it is shared with anybody. */
export interface World {
  readonly machine: OwnMachine
  readonly slipway: Slipway
  readonly database: OwnDatabase
  readonly disk: SmallDisk
  readonly apps: readonly ChaosApp[]
  /** 0 while there is none: it was killed a moment ago. */
  proxyPid(): number
  remove(): Promise<string[]>
}

export interface ChaosApp {
  readonly name: string
  readonly host: string
  readonly clone: Clone
  /** What it may answer: everything that was ever pushed and could work. */
  readonly good: string[]
}

/** PostgreSQL's files take about 60 MB, a repository next to nothing. */
const diskMb = 400

export async function makeWorld(appCount: number): Promise<World> {
  const disk = await mountSmallDisk(diskMb)
  const machine = await makeOwnMachine(
    { DATABASE_URL: '', SLIPWAY_DISK_FLOOR_MB: '1', SLIPWAY_BUILD_SLOTS: '2' },
    { dataDir: disk.path, slow: true },
  )
  const { slipway } = machine
  const apps: ChaosApp[] = []
  const world: World = {
    machine,
    slipway,
    database: ownDatabaseOf(slipway),
    disk,
    apps,
    proxyPid() {
      const path = join(slipway.dataDir, 'run/proxy.pid')
      return existsSync(path) ? Number(readFileSync(path, 'utf8')) : 0
    },
    async remove() {
      for (const { clone } of apps) await clone.remove()
      try {
        return await machine.remove()
      } finally {
        await disk.unmount()
      }
    },
  }
  try {
    await slipway.start()
    for (let i = 0; i < appCount; i += 1) apps.push(await makeApp(slipway, i))
    return world
  } catch (error) {
    await world.remove()
    throw error
  }
}

async function makeApp(slipway: Slipway, i: number): Promise<ChaosApp> {
  const name = `app-${i}`
  const clone = await makeClone(slipway, name)
  const text = `${name} first`
  await clone.write(pageOf('page', text))
  await clone.commit(text)
  const { output } = await clone.git('push', 'slipway', 'HEAD:refs/heads/develop')
  if (!output.includes('status=live')) throw new Error(`the first push of ${name} did not go live:\n${output}`)
  return { name, host: `test--${name}.localhost`, clone, good: [text] }
}
