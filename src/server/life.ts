import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { appendEvent } from '../kernel/events.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Database } from '../postgres/database.ts'
import type { Footing } from './footings.ts'

interface Parts {
  readonly db: Database
  readonly logger: Logger
  readonly settings: { readonly dataDir: string }
}

/** There while Slipway runs, and after a life that ended without being told to. */
const markerIn = ({ settings }: Parts): string => join(settings.dataDir, 'run', 'alive')

/** Puts into the activity that Slipway has started, and whether the life before was told to end. Never rejects. */
export async function recordStarted(parts: Parts, version: string): Promise<void> {
  const untold = existsSync(markerIn(parts))
  await orWarn(parts, 'a start', async () => {
    await writeFile(markerIn(parts), `${process.pid}\n`)
    await parts.db.transaction((tx) => appendEvent(tx, { kind: 'server.started', data: { version, untold } }))
  })
}

/** The same of its end, as soon as it is told to. */
export async function recordStopped(parts: Parts): Promise<void> {
  await orWarn(parts, 'a stop', async () => {
    await rm(markerIn(parts), { force: true })
    await parts.db.transaction((tx) => appendEvent(tx, { kind: 'server.stopped' }))
  })
}

const backKinds: Readonly<Record<Footing['name'], string>> = {
  database: 'server.database-back',
  engine: 'server.engine-back',
  proxy: 'server.proxy-back',
}

/** What Slipway stands on is back, after so many milliseconds. Rejects while the database is away. */
export async function recordOutage(db: Database, name: Footing['name'], ms: number): Promise<void> {
  const data = { seconds: Math.round(ms / 1000) }
  await db.transaction((tx) => appendEvent(tx, { kind: backKinds[name], data }))
}

async function orWarn({ logger }: Parts, what: string, work: () => Promise<void>): Promise<void> {
  await work().catch((error: unknown) => logger.warn(`${what} could not be put into the activity`, { error }))
}
