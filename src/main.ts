import { join } from 'node:path'
import type { Settings } from './config.ts'
import { systemClock } from './kernel/clock.ts'
import { armFaultPoint } from './kernel/fault-point.ts'
import { makeLogger } from './kernel/logger.ts'
import { greet } from './server/greet.ts'
import { layGround } from './server/lay-ground.ts'
import { recordStopped } from './server/life.ts'
import { makeModules } from './server/make-modules.ts'
import { openDoors } from './server/open-doors.ts'
import { ensureSecrets } from './server/secrets.ts'
import { startWork } from './server/start-work.ts'
import { untilStopped } from './server/until-stopped.ts'
import { farewellText } from './server/welcome.ts'

interface Start {
  readonly settings: Settings
  readonly demo: boolean
  /** Slipway's own folder. */
  readonly root: string
  readonly onReady: () => void
}

/** A database that hangs does not keep Slipway from ending. */
const closeGraceMs = 2_000

/**
 * The composition root: what Slipway stands on first (database, proxy, engine), then the modules, then the doors, then the
 * work. Stops in reverse. Proxy, database and instances go on without it. Resolves when Slipway has been told to stop and
 * has.
 */
export async function run({ settings, demo, root, onReady }: Start): Promise<void> {
  const begunMs = systemClock.monotonicMs()
  armFaultPoint(settings.faultPoint)
  const stop = new AbortController()
  const logFile = join(settings.dataDir, 'logs', 'slipway.log')
  const logger = makeLogger({ level: settings.logLevel, file: logFile, console: false })
  const secrets = await ensureSecrets(settings)

  const ground = await layGround({ settings, root, logger, stop, secrets })
  const modules = makeModules(ground)
  const doors = await openDoors(ground, modules)
  const work = await startWork(ground, modules)
  logger.info('Slipway has started', { pid: process.pid })
  await greet(ground, modules, { demo, sinceBegin: () => systemClock.monotonicMs() - begunMs })
  onReady()

  await untilStopped(stop.signal)
  logger.info('Slipway stops')
  // When another server has the place, nobody told this one.
  const told = stop.signal.aborted ? undefined : recordStopped(ground)
  stop.abort()
  // What people run ends first, and they are told.
  await Promise.all([modules.runs.stop(), doors.close()])
  await work.stop()
  await modules.logs.close()
  const close = async (): Promise<void> => {
    await told
    await ground.db.close()
  }
  await Promise.race([close(), systemClock.sleep(closeGraceMs)])
  process.stdout.write(farewellText)
}
