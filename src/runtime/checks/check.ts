import type { AppConfig, ImageHealthcheck } from '../../builds/index.ts'
import type { Clock } from '../../kernel/clock.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import type { Instance, Runtime } from '../runtime.ts'
import { tryConnect } from '../wait-for-port.ts'
import type { ChosenPort } from './choose-port.ts'
import type { Diagnosis } from './judge.ts'
import { probeHttp } from './probe-http.ts'

/** How an instance is asked from outside. */
export interface Probes {
  readonly connect: typeof tryConnect
  readonly get: typeof probeHttp
}

export const networkProbes: Probes = { connect: tryConnect, get: probeHttp }

export interface CheckRequest {
  readonly runtime: Runtime
  readonly clock: Clock
  /** Over the network when left out. */
  readonly probes?: Probes
  /** `restarts`: how often the engine had brought it back before. A check fails on the next. */
  readonly instance: Pick<Instance, 'containerId' | 'address' | 'restarts'>
  readonly port: ChosenPort
  readonly config: Pick<AppConfig, 'health' | 'selfTests' | 'resources'>
  readonly healthcheck: ImageHealthcheck | null
  /** The environment's host as a client would send it, and the outside scheme. */
  readonly host: string
  readonly scheme: 'http' | 'https'
  /** Told when something changes (`GET / on port 8080 → connection refused`), not at every attempt. */
  readonly onAttempt: (line: string) => void
  readonly signal: AbortSignal
}

/** Time limits and the ways out that all checks share. */
export interface CheckContext extends CheckRequest {
  readonly address: string
  /** On the clock's monotonic scale. */
  readonly deadlineMs: number
  /** Fires when the checks are over, however. */
  readonly signal: AbortSignal
}

/** What an end of it is judged by. */
export function endsOf({ instance, config }: Pick<CheckRequest, 'instance' | 'config'>): {
  memoryBytes: number
  restartsBefore: number
} {
  return { memoryBytes: config.resources.memoryBytes, restartsBefore: instance.restarts }
}

export function failedCheck({ message, hint }: Diagnosis, evidence: readonly string[] = []): SlipwayError {
  return new SlipwayError('check_failed', message, { hint, evidence })
}
