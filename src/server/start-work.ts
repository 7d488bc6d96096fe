import { systemClock } from '../kernel/clock.ts'
import { footingsOf } from './footings.ts'
import type { Ground } from './lay-ground.ts'
import { recordOutage, recordStarted } from './life.ts'
import type { Modules } from './make-modules.ts'
import { keepOutages } from './outages.ts'
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
  for (const footing of footingsOf(ground)) {
    const record = (ms: number): Promise<void> => recordOutage(ground.db, footing.name, ms)
    void keepOutages(footing, { clock: systemClock, record }, signal)
  }
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
