import type { ReleaseCommand } from '../../builds/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import { faultPoint } from '../../kernel/fault-point.ts'
import { labelNames } from '../../runtime/index.ts'
import { countCommandOutput, listCommandsBegun, recordCommandBegun, recordCommandEnded } from '../commands-store.ts'
import { commandsOccasion } from '../deploy.ts'
import { readReleaseSpec } from '../release-spec.ts'
import { lost, type Step, type StepContext, stopping } from './step.ts'

/**
 * Runs the release commands one after the other, each in a throw-away container of the new image; a failing one ends the
 * deploy.
 */
export const releaseCommands: Step = async (context) => {
  const { deploy, tools, log } = context
  const occasion = commandsOccasion(deploy.kind)
  if (occasion === null) return
  const spec = await readReleaseSpec(deploy, tools)
  const commands = spec.build.config.releaseCommands.filter((command) => command.on.includes(occasion))
  if (commands.length === 0) return
  log.write('step', `Running ${commands.length === 1 ? 'one release command' : `${commands.length} release commands`}`)
  const begun = await listCommandsBegun(tools.db, deploy.id)
  for (const [position, command] of commands.entries()) {
    if (begun[position]?.exitCode === 0) continue
    const isBegun = begun[position] !== undefined
    log.write('detail', isBegun ? `${command.label} was begun before; it goes on` : `${command.label}: ${command.run}`)
    // What is printed from here on is this command's.
    await log.flush()
    await runCommand(context, position, command, spec.command(command, position))
  }
  // Their exit codes are recorded: the containers are not asked again.
  for (const container of await tools.runtime.list({ deploy: deploy.id })) {
    if (container.labels[labelNames.kind] === 'command') await tools.runtime.remove(container.containerId)
  }
}

interface Ran {
  readonly command: ReleaseCommand
  hasPrinted: boolean
}

async function runCommand(
  context: StepContext,
  position: number,
  command: ReleaseCommand,
  container: Parameters<StepContext['tools']['runtime']['start']>[0],
): Promise<void> {
  const { assertHeld, deploy, own, tools, log, signal } = context
  await tools.db.transaction((tx) => recordCommandBegun(tx, own, position, command.label))
  faultPoint('deploy.command.begun')
  // Of a command that was begun earlier everything comes again: what the log has is passed over.
  let known = await countCommandOutput(tools.db, deploy.id, position)
  const ran: Ran = { command, hasPrinted: known > 0 }
  const onLine = (line: string): void => {
    ran.hasPrinted = true
    if (known > 0) known -= 1
    else log.write('output', line)
  }
  await assertHeld()
  signal.throwIfAborted()
  const { cancelled, released } = splitSignal(signal)
  const startedMs = tools.clock.monotonicMs()
  const exit = await Promise.race([
    tools.runtime
      .run(
        { ...container, argv: ['/bin/sh', '-c', command.run] },
        { onLine, room: () => log.room(), timeoutMs: command.timeoutMs, signal: cancelled },
      )
      .catch((error: unknown) => {
        throw tools.clock.monotonicMs() - startedMs < command.timeoutMs ? error : nameCommand(ran, error)
      }),
    released,
  ])
  faultPoint('deploy.command.done')
  await tools.db.transaction((tx) => recordCommandEnded(tx, own, position, exit.exitCode))
  faultPoint('deploy.command.recorded')
  if (exit.exitCode !== 0) throw describeFailure(ran, exit, container.limits.memoryBytes)
}

/** A cancel ends the command; a server that stops or lost the deploy only lets go of it: who comes next finds it by its name. */
function splitSignal(signal: AbortSignal): { cancelled: AbortSignal; released: Promise<never> } {
  const cancel = new AbortController()
  const released = new Promise<never>((_, reject) => {
    const onAbort = (): void => {
      if (signal.reason === stopping) reject(stopping)
      else if (signal.reason === lost) reject(lost)
      else cancel.abort(signal.reason)
    }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
  return { cancelled: cancel.signal, released }
}

/** The runtime only knows that something took too long. */
function nameCommand({ command: { label, timeoutMs }, hasPrinted }: Ran, error: unknown): unknown {
  if (!(error instanceof SlipwayError) || error.code !== 'timeout') return error
  return new SlipwayError(
    'command_failed',
    `The release command “${label}” took longer than its limit of ${timeoutMs / 1000} s and was stopped.`,
    { hint: `${whereOutput(hasPrinted)} To give it more time, set its timeout in slipway.yml.`, cause: error },
  )
}

function describeFailure(
  { command, hasPrinted }: Ran,
  exit: { exitCode: number; outOfMemory: boolean },
  memoryBytes: number,
): SlipwayError {
  const limit = Math.round(memoryBytes / (1024 * 1024))
  if (exit.outOfMemory) {
    return new SlipwayError(
      'command_failed',
      `The release command “${command.label}” was killed: it used more than ${limit} MB of memory.`,
      {
        hint: 'Give it more with resources.memory in slipway.yml.',
      },
    )
  }
  return new SlipwayError(
    'command_failed',
    `The release command “${command.label}” failed with exit code ${exit.exitCode}.`,
    {
      hint: `${whereOutput(hasPrinted)} Nothing was swapped; what it had done to the data stays done.`,
    },
  )
}

const whereOutput = (hasPrinted: boolean): string => (hasPrinted ? 'Its output is above.' : 'It printed nothing.')
