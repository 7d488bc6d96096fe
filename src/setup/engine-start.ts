import { execFile, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { SlipwayError } from '../kernel/errors.ts'
import { keepLogSmall } from '../kernel/small-log.ts'
import { probeEngine, probeOnce } from './engine-call.ts'
import { searchPath } from './programs.ts'

const runFile = promisify(execFile)

/** Finding old containers and setting up its networks takes an engine 1-13 s on a loaded machine. */
const startLimitMs = 60_000
const largestLog = 10 * 1024 * 1024

/**
 * Starts dockerd in a session of its own, so that it lives on after Ctrl-C and our end; resolves with its pid when it
 * answers. Its pid file and data are in the standard places: the next engine of this machine finds the same containers.
 */
export async function startDaemon(options: {
  program: string
  args: readonly string[]
  socket: string
  logFile: string
}): Promise<number> {
  await keepLogSmall(options.logFile, largestLog)
  removeStalePidFiles(options.args)
  const log = openSync(options.logFile, 'a', 0o600)
  const args = ['--host', `unix://${options.socket}`, ...options.args]
  const child = spawn(options.program, args, {
    cwd: '/',
    env: daemonEnvironment(process.env),
    stdio: ['ignore', log, log],
    detached: true,
  })
  closeSync(log)
  child.unref()
  let end: string | null = null
  child.on('error', (error) => (end = error.message))
  child.on('close', (code, signal) => (end ??= `it ended with ${code ?? signal ?? 'nothing'}`))
  const deadline = performance.now() + startLimitMs
  while (end === null && performance.now() < deadline) {
    await delay(50)
    const probe = await probeOnce(options.socket, 500)
    if (probe.kind === 'answers' && end === null) return child.pid ?? -1
  }
  const why = end ?? `it did not answer within ${startLimitMs / 1000} s`
  if (end === null) child.kill('SIGTERM')
  throw new SlipwayError('unavailable', `The Docker engine could not be started: ${why}.`, {
    hint: `Its log: ${options.logFile}`,
    evidence: lastLines(options.logFile),
  })
}

/**
 * An engine that was killed leaves its pid file and containerd's. When the pid belongs to some other program by now (which
 * is common after a restart of a container), dockerd takes that for a running engine and refuses, so such files go.
 */
function removeStalePidFiles(args: readonly string[]): void {
  const valueOf = (flag: string): string | undefined => args[args.indexOf(flag) + 1]
  const given = (flag: string, usual: string): string => (args.includes(flag) ? (valueOf(flag) ?? usual) : usual)
  const files = {
    dockerd: given('--pidfile', '/var/run/docker.pid'),
    containerd: join(given('--exec-root', '/var/run/docker'), 'containerd', 'containerd.pid'),
  }
  for (const [name, path] of Object.entries(files)) {
    const pid = readText(path)
    if (pid !== null && readText(`/proc/${pid}/comm`) !== name) rmSync(path, { force: true })
  }
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return null
  }
}

/** Ends an engine that `startDaemon` started; its containers live on (live-restore). */
export async function stopDaemon(pid: number): Promise<void> {
  for (const [signal, waitMs] of [
    ['SIGTERM', 20_000],
    ['SIGKILL', 5_000],
  ] as const) {
    if (!signalProcess(pid, signal)) return
    for (let waited = 0; waited < waitMs; waited += 50) {
      await delay(50)
      if (!signalProcess(pid, 0)) return
    }
  }
}

/** False when there is no such process. */
export function signalProcess(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

/** Starts the engine's systemd unit and waits until it answers. */
export async function startUnit(socket: string): Promise<void> {
  try {
    await runFile('systemctl', ['start', 'docker.service'], { timeout: 90_000 })
  } catch (cause) {
    const args = ['--unit=docker', '--lines=10', '--no-pager', '--output=cat']
    const journal = await runFile('journalctl', args, { timeout: 10_000, killSignal: 'SIGKILL' }).catch(() => ({
      stdout: '',
    }))
    throw new SlipwayError('unavailable', 'The Docker engine could not be started (systemctl start docker).', {
      hint: 'Look at: systemctl status docker',
      evidence: journal.stdout.trim().split('\n'),
      cause,
    })
  }
  const deadline = performance.now() + startLimitMs
  while ((await probeEngine(socket)).kind !== 'answers') {
    if (performance.now() > deadline) {
      throw new SlipwayError('unavailable', `The Docker engine runs but does not answer on ${socket}.`, {
        hint: 'Look at: systemctl status docker',
      })
    }
    await delay(100)
  }
}

/** The engine pulls images through the proxy that its environment names; Slipway's secrets are none of its business. */
function daemonEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(([name]) => /^(?:https?_proxy|no_proxy|tmpdir|lang|home)$/i.test(name))
  return { ...Object.fromEntries(kept), PATH: searchPath() }
}

function lastLines(path: string): string[] {
  return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-10)
}
