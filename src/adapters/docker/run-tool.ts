import { execFile, type ExecFileException } from 'node:child_process'
import { SlipwayError } from '../../kernel/errors.ts'

/** 10 s: each of these takes milliseconds; iptables may wait 5 s for its lock. */
const timeoutMs = 10_000

/**
 * Runs a program of the system's administration and resolves with its standard output. The folder is written out because the
 * PATH of a service or of a user often lacks it.
 */
export async function runTool(program: string, args: readonly string[], input?: string): Promise<string> {
  for (const folder of ['/usr/sbin', '/sbin', '/usr/bin', '/bin']) {
    const { error, stdout } = await execute(`${folder}/${program}`, args, input)
    if (error === null) return stdout
    if (error.code !== 'ENOENT') throw asToolError(program, error)
  }
  throw new SlipwayError('unavailable', `The program ${program} is not on this machine.`, {
    hint: 'Install it: apt-get install iptables iproute2 util-linux',
  })
}

interface Outcome {
  readonly error: ExecFileException | null
  readonly stdout: string
}

function execute(path: string, args: readonly string[], input: string | undefined): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL' as const, maxBuffer: 64 * 1024 * 1024 }
    const child = execFile(path, args, options, (error, stdout) => resolve({ error, stdout }))
    child.stdin?.on('error', () => {})
    child.stdin?.end(input ?? '')
  })
}

function asToolError(program: string, error: ExecFileException): SlipwayError {
  // `Command failed: <path and arguments>`, then what the program said.
  const said = error.message.split('\n').slice(1).join('\n').trim()
  if (/permission denied|must be root|operation not permitted/i.test(said)) {
    return new SlipwayError('unavailable', `Slipway may not run ${program}.`, {
      hint: 'Run Slipway as root (sudo npm start): the firewall around apps and builds needs it.',
      evidence: [said],
      cause: error,
    })
  }
  const why = error.killed === true ? `it did not end within ${timeoutMs / 1000} s` : (said.split('\n')[0] ?? '')
  return new SlipwayError('unavailable', `${program} failed: ${why}`, { cause: error })
}
