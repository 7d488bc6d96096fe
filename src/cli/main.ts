import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { exits, Failure } from './failure.ts'
import { renderFailure } from './output.ts'
import { type CommonOptions, openSession, type Run } from './session.ts'
import { usageFailure } from './usage-failure.ts'
import { addActivityVerb } from './verbs/activity.ts'
import { addAppVerbs } from './verbs/apps.ts'
import { addCronVerbs } from './verbs/cron.ts'
import { addDeployVerbs } from './verbs/deploys.ts'
import { addDoctorVerb } from './verbs/doctor.ts'
import { addEnvironmentVerbs } from './verbs/envs.ts'
import { addLockVerbs } from './verbs/lock.ts'
import { addLoginVerbs } from './verbs/login.ts'
import { addLogsVerb } from './verbs/logs.ts'
import { addMaintenanceVerbs } from './verbs/maintenance.ts'
import { addOpenVerb } from './verbs/open.ts'
import { addPromoteVerb } from './verbs/promote.ts'
import { addProtectVerbs } from './verbs/protect.ts'
import { addProcessVerbs } from './verbs/processes.ts'
import { addReleaseVerbs } from './verbs/releases.ts'
import { addRollbackVerb } from './verbs/rollback.ts'
import { addRunVerb } from './verbs/run.ts'
import { addServiceVerbs } from './verbs/service.ts'
import { addStatusVerb } from './verbs/status.ts'
import { addVarsVerbs } from './verbs/vars.ts'
import { addVersionVerb } from './verbs/version.ts'

/** Runs one verb; its exit code is left in process.exitCode, so that what was written is written out. */
export async function main(args: readonly string[], packageFile: URL): Promise<void> {
  endQuietlyOnBrokenPipe()
  const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }
  try {
    const program = makeProgram(version, args)
    if (args.length === 0) {
      program.outputHelp({ error: true })
      process.exitCode = exits.wrongUse
      return
    }
    await program.parseAsync([...args], { from: 'user' })
  } catch (error) {
    process.exitCode = report(error)
  }
}

function makeProgram(version: string, args: readonly string[]): Command {
  const run: Run =
    (work) =>
    async (...given) => {
      // Commander calls with the arguments, then the options, then the command.
      const args = given.slice(0, -2)
      const options = given.at(-2) as CommonOptions
      const exit = await work(openSession(options, version), args as never, options as never)
      process.exitCode = exit ?? exits.done
    }
  const program = new Command('slipway')
    .description('Deploys apps to a Slipway server.')
    .version(version, '-V, --version', 'the version of this command')
    .exitOverride()
    .addHelpText('after', footer)
  addLoginVerbs(program, run)
  addAppVerbs(program, run)
  addEnvironmentVerbs(program, run)
  addVarsVerbs(program, run)
  addProtectVerbs(program, run)
  addDeployVerbs(program, run)
  addReleaseVerbs(program, run)
  addLockVerbs(program, run)
  addPromoteVerb(program, run)
  addRollbackVerb(program, run)
  addMaintenanceVerbs(program, run)
  addProcessVerbs(program, run)
  addStatusVerb(program, run)
  addCronVerbs(program, run)
  addLogsVerb(program, run)
  addRunVerb(program, run, args)
  addActivityVerb(program, run)
  addOpenVerb(program, run)
  addServiceVerbs(program, run)
  addDoctorVerb(program, run)
  addVersionVerb(program, run)
  tellWrongUse(program, 'slipway')
  return program
}

/** Whoever uses a verb wrongly is led to that verb's own help. */
function tellWrongUse(command: Command, words: string): void {
  command.configureOutput({ outputError: (text, write) => write(renderFailure(usageFailure(text, words))) })
  for (const verb of command.commands) tellWrongUse(verb, `${words} ${verb.name()}`)
}

const footer = `
Exit codes: 0 done; 1 the deploy (or what was asked for) failed; 2 wrong use; 3 not signed in or not allowed;
4 not found; 5 conflict; 6 the server cannot be reached; 130 left with Ctrl-C while following (the deploy goes on).
Of run: the command’s own; 125 when it did not run.

Example:
  $ slipway login http://slipway.localhost:8080
  $ slipway deploy live`

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exits.done : exits.wrongUse
  const failure =
    error instanceof Failure
      ? error
      : new Failure(exits.failed, `slipway itself failed: ${error instanceof Error ? error.message : String(error)}`)
  process.stderr.write(renderFailure(failure))
  return failure.exit
}

/** `slipway … | head`: whoever read us has enough. */
function endQuietlyOnBrokenPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      process.exit(error.code === 'EPIPE' ? exits.brokenPipe : exits.failed)
    })
  }
}
