import { readFile, rm } from 'node:fs/promises'
import type { Logger } from '../../kernel/logger.ts'
import { writeWholeFile } from '../../kernel/whole-file.ts'
import {
  bootScript,
  jumpsInPlace,
  ourLines,
  removeScript,
  restoreScript,
  type FirewallPolicy,
} from './firewall-rules.ts'
import { readHostNetwork, secureBridges } from './host-network.ts'
import { runTool } from './run-tool.ts'

/** The walls around builds, release commands and instances. */
export interface Firewall {
  /**
   * Makes it what it must be, when it is not: at start, twice a minute, and after the engine came back, since other programs
   * flush. One transaction, so there is no moment without it. Throws `unavailable` when it cannot be had: then nothing may start.
   */
  ensure(): Promise<'unchanged' | 'written'>
  /** Takes this installation's chains away; for tests and for taking an installation away. Safe to repeat. */
  remove(): Promise<void>
}

export function makeFirewall(options: {
  policy: FirewallPolicy
  bridges: readonly string[]
  /** Where the rules are kept for the next start of the machine: see `slipway service`. */
  bootFile: string
  logger: Logger
}): Firewall {
  const { policy, bridges, bootFile, logger } = options
  let written: { host: string; lines: string } | null = null
  let last: Promise<unknown> = Promise.resolve()

  async function ensure(): Promise<'unchanged' | 'written'> {
    await secureBridges(bridges)
    const host = await readHostNetwork(policy.bridgePrefix)
    const saved = await readRules()
    const whole = written?.lines === ourLines(policy.installation, saved).join('\n') && jumpsInPlace(policy, saved)
    if (whole && written?.host === JSON.stringify(host)) return 'unchanged'
    if (!whole && written !== null) logger.warn('another program changed the firewall; it is written again')
    await restore(restoreScript(policy, host, saved))
    await keepForBoot(bootFile, bootScript(policy, host)).catch((error: unknown) => {
      logger.warn('the firewall’s rules could not be kept for the next start of the machine', { error })
    })
    written = { host: JSON.stringify(host), lines: ourLines(policy.installation, await readRules()).join('\n') }
    return 'written'
  }

  /** One at a time: two in parallel would each delete the jumps that the other has just replaced. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = last.then(() => retry(work))
    last = turn.catch(() => {})
    return turn
  }

  return {
    ensure: () => inTurn(ensure),
    remove: () =>
      inTurn(async () => {
        written = null
        const script = removeScript(policy.installation, await readRules())
        if (script !== null) await restore(script)
        await rm(bootFile, { force: true })
      }),
  }
}

async function keepForBoot(path: string, script: string): Promise<void> {
  const kept = await readFile(path, 'utf8').catch(() => null)
  if (kept !== script) await writeWholeFile(path, script, 0o600)
}

/** Other programs may change the table between our look and our write; then the transaction fails as a whole. */
async function retry<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt === 3) throw error
    }
  }
}

async function readRules(): Promise<string[]> {
  return (await runTool('iptables-save', ['-t', 'filter'])).split('\n')
}

async function restore(script: string): Promise<void> {
  await runTool('iptables-restore', ['--wait', '5', '--noflush'], script)
}
