import type { RequestHandler } from 'express'
import { SlipwayError } from '../kernel/errors.ts'
import { withTimeout } from '../kernel/timeout.ts'
import type { ReadinessProbe } from './needs.ts'

const probeMs = 2_000
/** Strangers may ask as often as they like; the probes run once a second at most. */
const freshMs = 1_000

export interface Readiness {
  readonly ready: boolean
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly reason?: string }[]
}

/** Whether everything that Slipway needs answers, and if not, what does not. */
export function makeReadiness(probes: readonly ReadinessProbe[]): () => Promise<Readiness> {
  let last: { at: number; answer: Promise<Readiness> } | null = null
  return () => {
    if (last === null || performance.now() - last.at > freshMs) {
      last = { at: performance.now(), answer: runProbes(probes) }
    }
    return last.answer
  }
}

async function runProbes(probes: readonly ReadinessProbe[]): Promise<Readiness> {
  const checks = await Promise.all(
    probes.map(({ name, check }) =>
      withTimeout({ ms: probeMs, what: `The ${name}` }, () => check()).then(
        () => ({ name, ok: true }),
        (error: unknown) => ({ name, ok: false, reason: reasonOf(name, error) }),
      ),
    ),
  )
  return { ready: checks.every((one) => one.ok), checks }
}

/** Only sentences written for people leave: a driver's message may hold addresses or names. */
function reasonOf(name: string, error: unknown): string {
  return error instanceof SlipwayError && error.code !== 'internal' ? error.message : `The ${name} does not answer.`
}

export function readinessHandler(probes: readonly ReadinessProbe[]): RequestHandler {
  const look = makeReadiness(probes)
  return async (_req, res) => {
    const found = await look()
    res.status(found.ready ? 200 : 503).json({ status: found.ready ? 'ready' : 'not ready', checks: found.checks })
  }
}
