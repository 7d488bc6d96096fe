import type { Command } from 'commander'
import { attach, type AttachmentEnd, type Here } from '../attach.ts'
import { exits, Failure } from '../failure.ts'
import {
  chooseEnvironment,
  type CommonOptions,
  environmentPath,
  type Run,
  type Session,
  withEnvironment,
  withExample,
} from '../session.ts'

interface RunOptions extends CommonOptions {
  /** Undefined: as this terminal is. */
  readonly tty?: boolean
}

/** As Docker has it: the command did not run, or what became of it is not known. Every other code is the command's own. */
const notRun = 125

/** @param args the whole command line: where its `--` stands is not to be seen in what Commander makes of it */
export function addRunVerb(program: Command, run: Run, args: readonly string[]): void {
  const at = args.indexOf('--')
  const command = at < 0 ? [] : args.slice(at + 1)
  const verb = program
    .command('run')
    .summary('a command in a throw-away container of the release that serves')
    .usage('[options] [env] -- <command> [args...]')
    .argument('[words...]', 'the environment (default: test), then -- and the command')
    .description(
      'a command in a throw-away container of the release that serves; its exit code is this one’s. It ends when you hang up: what is to go on by itself is a worker or a job (slipway scale, slipway cron)',
    )
    .option('--tty', 'give it a terminal (default: when input and output here are one)')
    .option('--no-tty', 'give it plain pipes')
  withExample(
    withEnvironment(verb).action(
      run<[string[]], RunOptions>((session, [words], options) =>
        runCommand(session, { words: words.slice(0, words.length - command.length), command, options }),
      ),
    ),
    'slipway run live -- python manage.py shell',
    'slipway run -- sh -c \'echo "$STAGE" | tr a-z A-Z\'',
    'slipway run live -- ./import < data.csv > report.txt',
  )
}

interface Wanted {
  readonly words: readonly string[]
  readonly command: readonly string[]
  readonly options: RunOptions
}

async function runCommand(session: Session, { words, command, options }: Wanted): Promise<number> {
  if (command.length === 0 || words.length > 1) {
    throw new Failure(
      exits.wrongUse,
      command.length === 0 ? 'No command is given.' : 'Only the environment stands before “--”.',
      'It stands behind two hyphens: slipway run [ENV] -- COMMAND ARGUMENTS',
    )
  }
  const environment = chooseEnvironment(words[0], options)
  const { stdin, stdout, stderr } = process
  const isTerminal = stdin.isTTY && stdout.isTTY
  if (options.tty === true && !isTerminal)
    throw new Failure(
      exits.wrongUse,
      'There is no terminal here: input and output must both be one.',
      'Leave --tty out.',
    )
  const here: Here = { stdin, stdout, stderr, hasTerminal: isTerminal && options.tty !== false }
  try {
    return tellEnd(await carryOut(session, { environment, command, here }), { session, command })
  } catch (error) {
    // The usual codes would be taken for the command's.
    throw error instanceof Failure ? new Failure(notRun, error.message, error.hint) : error
  }
}

async function carryOut(
  session: Session,
  { environment, command, here }: { environment: string; command: readonly string[]; here: Here },
): Promise<AttachmentEnd> {
  const client = session.client()
  const { columns, rows } = here.stdout
  const term = session.env['TERM'] ?? ''
  const terminal = { columns: columns || 80, rows: rows || 24, term: /^[\w.+-]{1,64}$/.test(term) ? term : null }
  const { id } = await client.call<{ id: string }>(
    'POST',
    `${environmentPath(await session.app(), environment)}/runs`,
    { command, terminal: here.hasTerminal ? terminal : null },
  )
  const socket = await client.connect(`/runs/${id}/attachment`)
  return attach(
    socket,
    here,
    (why) =>
      new Failure(notRun, `The connection to the server was lost (${why}).`, 'The command is ended when that happens.'),
  )
}

function tellEnd(end: AttachmentEnd, { session, command }: { session: Session; command: readonly string[] }): number {
  if (end.type === 'failed') throw new Failure(notRun, end.detail, end.hint)
  const [program = ''] = command
  if (end.outOfMemory) session.out.note(' !     It was killed: it used more memory than resources.memory allows.')
  else if (end.exitCode === 127)
    session.out.note(
      ` !     127: a program was not found. “${program}” must be in the image; for what only a shell knows: slipway run -- sh -c '…'`,
    )
  else if (end.exitCode === 126) session.out.note(` !     126: “${program}” is in the image, but cannot be executed.`)
  return end.exitCode
}
