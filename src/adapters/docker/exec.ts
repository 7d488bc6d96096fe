import { readFile } from 'node:fs/promises'
import type { Duplex } from 'node:stream'
import { LineSplitter } from '../../kernel/terminal-text.ts'
import { withTimeout } from '../../kernel/timeout.ts'
import { makeDemuxer } from './demux.ts'
import type { Engine } from './engine.ts'

const outputLimit = 64 * 1024

export interface ExecOptions {
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/**
 * Runs a command in a running container. When its time is over or the signal fires, its process is ended (the engine has no
 * call for that) as far as it can be seen from here.
 */
export async function execIn(
  engine: Engine,
  containerId: string,
  argv: readonly string[],
  options: ExecOptions,
): Promise<{ exitCode: number; output: string[] }> {
  const limits = { signal: options.signal }
  const request = { Cmd: [...argv], AttachStdout: true, AttachStderr: true }
  const { id } = await engine.call('create exec', (docker) => docker.getContainer(containerId).exec(request), limits)
  try {
    return await withTimeout(
      { ms: options.timeoutMs, what: 'The command in the container', signal: options.signal },
      async (signal) => {
        const how = { hijack: true, stdin: false }
        const stream = await engine.call('start exec', (docker) => docker.getExec(id).start(how), { signal })
        const output = await readOutput(stream, signal)
        return { exitCode: await readExitCode(engine, id, signal), output }
      },
    )
  } catch (error) {
    await endProcess(engine, id, containerId).catch(() => {})
    throw error
  }
}

function readOutput(stream: Duplex, signal: AbortSignal): Promise<string[]> {
  const lines: string[] = []
  const splitters = { stdout: new LineSplitter(push), stderr: new LineSplitter(push) }
  let bytes = 0
  function push(line: string): void {
    lines.push(line)
  }
  const demux = makeDemuxer((output, content) => {
    const room = outputLimit - bytes
    bytes += content.length
    if (room > 0) splitters[output].write(content.subarray(0, room))
  })
  signal.addEventListener('abort', () => stream.destroy(), { once: true })
  return new Promise((resolve) => {
    stream.on('data', demux)
    stream.on('error', () => {})
    stream.once('end', () => stream.end())
    stream.once('close', () => {
      splitters.stdout.end()
      splitters.stderr.end()
      if (bytes > outputLimit) lines.push(`… (output cut at ${outputLimit / 1024} KiB)`)
      resolve(lines)
    })
  })
}

/** The stream may end a moment before the engine knows the code, and it ends early when the engine goes away. */
async function readExitCode(engine: Engine, execId: string, signal: AbortSignal): Promise<number> {
  for (let waitMs = 5; !signal.aborted; waitMs = Math.min(waitMs * 2, 500)) {
    const info = await engine.call('inspect exec', (docker) => docker.getExec(execId).inspect(), { signal })
    if (!info.Running && info.ExitCode !== null) return info.ExitCode
    await new Promise((resolve) => setTimeout(resolve, waitMs))
  }
  throw signal.reason
}

async function endProcess(engine: Engine, execId: string, containerId: string): Promise<void> {
  const info = await engine.call('inspect exec', (docker) => docker.getExec(execId).inspect(), { timeoutMs: 2_000 })
  if (!info.Running || info.Pid <= 0) return
  // The number may belong to somebody else by now, or to another machine: only a process of this very container.
  const cgroup = await readFile(`/proc/${info.Pid}/cgroup`, 'utf8')
  if (cgroup.includes(containerId)) process.kill(info.Pid, 'SIGKILL')
}
