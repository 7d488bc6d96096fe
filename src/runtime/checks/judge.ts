import { plainLine } from '../../kernel/terminal-text.ts'
import type { Instance, Listener } from '../runtime.ts'
import type { ChosenPort } from './choose-port.ts'
import type { ProbeResult, ProbeTarget } from './probe-http.ts'

/*
 * Whether an answer is good, and what a failure is called. Pure.
 */

export interface HealthRules {
  readonly path: string | null
  readonly status: { readonly from: number; readonly to: number }
}

/** With a path its status must be in the range; without one anything but a server's error shows that the app is up. */
export function isHealthy(result: ProbeResult, rules: HealthRules): boolean {
  if (result.kind !== 'answer') return false
  if (rules.path === null) return result.status < 500
  return result.status >= rules.status.from && result.status <= rules.status.to
}

/** One attempt in words: `GET /healthz → 500 Internal Server Error`. */
export function describeAttempt(target: ProbeTarget, result: ProbeResult): string {
  return `GET ${target.path} on port ${target.port} → ${describeResult(result)}`
}

export function describeResult(result: ProbeResult): string {
  switch (result.kind) {
    case 'answer':
      return plainLine(`${result.status} ${result.reason}`.trim())
    case 'refused':
      return 'connection refused'
    case 'silent':
      return result.connected ? 'no answer in time' : 'no connection in time'
    case 'broken':
      return result.why
  }
}

export interface Diagnosis {
  readonly message: string
  readonly hint: string
}

const seeLog = 'See its log above.'

/** What can be said to an app that wrote nothing: there is no log to see. */
export function hintWithoutLog(hint: string): string {
  const rest = hint.replace(seeLog, '').trim()
  return rest === '' ? 'Let the app say why it ends, on its standard output or standard error.' : rest
}

/** Why the HTTP check failed, for the one who pushed. `listeners` null: could not be seen. */
export function explainHttp(
  result: ProbeResult,
  rules: HealthRules,
  facts: { port: ChosenPort; listeners: readonly Listener[] | null; deadlineMs: number; timeoutMs: number },
): Diagnosis {
  const path = rules.path ?? '/'
  const within = `within ${facts.deadlineMs / 1000} s`
  switch (result.kind) {
    case 'refused':
      return explainRefused(facts.port, facts.listeners, within)
    case 'silent':
      return result.connected
        ? {
            message: `The app accepts connections on port ${facts.port.port} but never answered GET ${path} (waited ${facts.timeoutMs / 1000} s each time).`,
            hint: 'Look for what the app waits for: a database, another service, a lock. A slow start needs a longer health.deadline or health.timeout.',
          }
        : {
            message: `Port ${facts.port.port} of the app could not be connected to ${within}.`,
            hint: `The app may be too busy to accept connections. ${seeLog}`,
          }
    case 'broken':
      return {
        message: `The app did not answer GET ${path} in HTTP: ${result.why}.`,
        hint: `Slipway speaks plain HTTP to port ${facts.port.port}; TLS ends at the proxy.`,
      }
    case 'answer':
      return {
        message: `After ${facts.deadlineMs / 1000} s the app still answers GET ${path} with ${describeResult(result)}.`,
        hint:
          rules.path === null
            ? `Anything below 500 is good. To ask for another path: health.path in slipway.yml. ${seeLog}`
            : `health.status in slipway.yml asks for ${rules.status.from}-${rules.status.to}. Probes carry the environment’s Host: the app must know it.`,
      }
  }
}

function explainRefused(port: ChosenPort, listeners: readonly Listener[] | null, within: string): Diagnosis {
  const there = listeners ?? []
  const right = there.filter((listener) => listener.port === port.port)
  if (right.length > 0 && right.every(isLoopback)) {
    return {
      message: `The app listens on ${right.map(format).join(' and ')} only; nobody outside its container can reach it.`,
      hint: `Bind 0.0.0.0 instead of 127.0.0.1, for example --host 0.0.0.0 --port ${port.port}.`,
    }
  }
  if (there.length > 0 && right.length === 0) {
    return {
      message: `Nothing listens on port ${port.port}; the app listens on ${there.map(format).join(' and ')}.`,
      hint: `${whyThisPort(port)} Set port: ${there[0]?.port ?? port.port} in slipway.yml, or let the app listen on $PORT.`,
    }
  }
  return {
    message: `Nothing listened on port ${port.port} ${within}.`,
    hint: `${whyThisPort(port)} Let the app listen on 0.0.0.0:$PORT, or set port in slipway.yml. A slow start needs a longer health.deadline.`,
  }
}

function whyThisPort({ port, from }: ChosenPort): string {
  switch (from) {
    case 'PORT':
      return `Port ${port} comes from the environment’s variable PORT.`
    case 'slipway.yml':
      return `Port ${port} comes from slipway.yml.`
    case 'EXPOSE':
      return `Port ${port} comes from EXPOSE in the Dockerfile.`
    case 'default':
      return `Port ${port} is the default, since neither slipway.yml nor EXPOSE names one.`
  }
}

function isLoopback({ address }: Listener): boolean {
  return address.startsWith('127.') || address === '::1'
}

function format({ address, port }: Listener): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** Why the process is not there any more; null when it is. `null` for an instance that is gone. */
export function explainEnd(
  instance: Instance | null,
  { memoryBytes, restartsBefore }: { readonly memoryBytes: number; readonly restartsBefore: number },
): Diagnosis | null {
  if (instance === null) {
    return { message: 'The container was removed while it was checked.', hint: 'Deploy again.' }
  }
  const restarts = instance.restarts - restartsBefore
  if (instance.state === 'running' && restarts <= 0) return null
  if (instance.outOfMemory) {
    return { message: `The app was killed for memory: its limit is ${megabytes(memoryBytes)}.`, hint: lessMemory }
  }
  if (restarts > 0) {
    return {
      message: `The app ended and was started again ${restarts === 1 ? 'once' : `${restarts} times`} while it was checked.`,
      hint: seeLog,
    }
  }
  return explainExit(instance.exitCode ?? -1, memoryBytes)
}

function explainExit(code: number, memoryBytes: number): Diagnosis {
  const message = `The app ended with exit code ${code} while it was checked.`
  if (code === 0) {
    return { message, hint: 'The image’s command must stay in the foreground; it ended as if all was done.' }
  }
  if (code === 126 || code === 127) {
    return { message, hint: 'The command, or one that it calls, is not in the image or not executable.' }
  }
  // The engine loses word of it at times: containerd drops what it hears of a cgroup that is gone by then.
  if (code === 137) {
    return {
      message: `The app was killed (exit code 137) while it was checked, most likely for memory: its limit is ${megabytes(memoryBytes)}.`,
      hint: lessMemory,
    }
  }
  if (code > 128) return { message, hint: `It was ended by signal ${code - 128}. ${seeLog}` }
  return { message, hint: seeLog }
}

const lessMemory = 'Raise resources.memory in slipway.yml, or start fewer workers.'

const megabytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MB`
