import { systemClock } from '../kernel/clock.ts'
import { appendEvent } from '../kernel/events.ts'
import type { Ground } from './lay-ground.ts'
import { recordStarted } from './life.ts'
import type { Modules } from './make-modules.ts'
import { type Footing, keepOutages } from './outages.ts'
import { readOwnVersion } from './version.ts'

const firewallEveryMs = 30_000
/** How long what is done at night may take to break off when Slipway stops. */
const nightGraceMs = 2_000

/** Deploys go on, and everything that Slipway stands on is watched from now on. */
export async function startWork(ground: Ground, modules: Modules): Promise<{ stop(): Promise<void> }> {
  const { cluster, proxy, runtime, logger } = ground
  const { cron, deploys, logs, removals, rotation, statuses } = modules
  const { signal } = ground.stop
  logs.start(signal)
  const { routes, started, removed } = await deploys.start()
  logger.info('reconciled', { routes, started, removed })
  await removals.start()
  rotation.run(signal).catch((error: unknown) => logger.error('variables are not all sealed anew yet', { error }))
  cron.start()
  const reconcile = (): void => {
    deploys.reconcile().catch((error: unknown) => logger.error('reconciling failed', { error }))
  }
  void statuses.keep({ signal, sleep: (ms, until) => systemClock.sleep(ms, until) })
  void cluster?.watch(signal)
  proxy.watch(signal, reconcile)
  const lookAfterFirewall = (): void => {
    runtime.ensureFirewall().catch((error: unknown) => logger.error('the firewall could not be kept', { error }))
  }
  const firewall = setInterval(lookAfterFirewall, firewallEveryMs)
  signal.addEventListener('abort', () => clearInterval(firewall), { once: true })
  await runtime.probeFirewall()
  await recordStarted(ground, await readOwnVersion(ground.root))
  watchFootings(ground)
  const nights = modules.nightly.watch(signal)
  return {
    /** After the abort of `ground.stop`. */
    async stop() {
      await removals.stop()
      await cron.stop()
      await deploys.stop()
      await Promise.race([nights, systemClock.sleep(nightGraceMs)])
    },
  }
}

const backKinds: Readonly<Record<Footing['name'], string>> = {
  database: 'server.database-back',
  engine: 'server.engine-back',
  proxy: 'server.proxy-back',
}

function watchFootings({ db, engine, proxy, stop }: Ground): void {
  const record = (name: Footing['name'], ms: number): Promise<void> =>
    db.transaction((tx) => appendEvent(tx, { kind: backKinds[name], data: { seconds: Math.round(ms / 1000) } }))
  const footings: Footing[] = [
    { name: 'database', ask: async () => void (await db.query('select 1')) },
    { name: 'engine', ask: async () => void (await engine.call('ping', (docker) => docker.ping())) },
    { name: 'proxy', ask: async () => assertAnswered(await proxy.router.startedAt()) },
  ]
  for (const footing of footings) void keepOutages(footing, { clock: systemClock, record }, stop.signal)
}

function assertAnswered(startedAt: Date | null): void {
  if (startedAt === null) throw new Error('The proxy does not answer.')
}
