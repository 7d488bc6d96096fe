import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { eventually } from './http-call.ts'

const root = resolve(__dirname, '../..')
export const slipwayFile = join(root, 'src/cli/slipway.mjs')

/** As a user has it: without this checkout's own programs, so `node` is the machine's, which may be older. */
export const userPath = (process.env['PATH'] ?? '')
  .split(delimiter)
  .filter((folder) => !folder.includes('node_modules'))
  .join(delimiter)

export interface CliResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface CliOptions {
  readonly cwd?: string
  readonly env?: Record<string, string>
  /** Standard input; null leaves it open. */
  readonly input?: string | null
}

/** The command line as a real process, with a home of its own. */
export interface Cli {
  readonly home: string
  run(args: readonly string[], options?: CliOptions): Promise<CliResult>
  start(args: readonly string[], options?: CliOptions): RunningCli
  remove(): Promise<void>
}

export interface RunningCli {
  readonly child: ChildProcess
  readonly stdout: () => string
  readonly stderr: () => string
  readonly result: Promise<CliResult>
  /** Resolves when standard output and error together hold this text. */
  says(text: string): Promise<void>
}

export async function makeCli(options: { node?: string } = {}): Promise<Cli> {
  const home = await mkdtemp(join(tmpdir(), 'slipway-cli-'))
  const start = (args: readonly string[], { cwd = home, env = {}, input }: CliOptions = {}): RunningCli => {
    const child = spawn(options.node ?? process.execPath, [slipwayFile, ...args], {
      cwd,
      env: { PATH: userPath, HOME: home, GIT_CONFIG_NOSYSTEM: '1', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    return watch(child, input === undefined ? '' : input)
  }
  return {
    home,
    start,
    run: (args, given) => start(args, given).result,
    remove: () => rm(home, { recursive: true, force: true }),
  }
}

export function watch(child: ChildProcess, input: string | null): RunningCli {
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString('utf8')))
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString('utf8')))
  child.stdin?.on('error', () => undefined)
  if (input !== null) child.stdin?.end(input)
  const timer = setTimeout(() => child.kill('SIGKILL'), 120_000)
  const result = new Promise<CliResult>((done) => {
    child.on('close', (code) => {
      clearTimeout(timer)
      done({ code, stdout, stderr })
    })
  })
  return {
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    result,
    says: async (text) => void (await eventually(() => (stdout + stderr).includes(text), `“${text}”`)),
  }
}
