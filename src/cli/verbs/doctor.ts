import type { Command } from 'commander'
import type { Examination, Repair } from '../api-types.ts'
import { exits, Failure, Problem } from '../failure.ts'
import type { Output } from '../output.ts'
import { type CommonOptions, type Run, type Session, withExample, withJson } from '../session.ts'

interface DoctorOptions extends CommonOptions {
  readonly fix?: boolean
}

export function addDoctorVerb(program: Command, run: Run): void {
  const doctor = program
    .command('doctor')
    .description('what is wrong with the server’s machine, and what differs from what should run')
    .option('--fix', 'do at once what would be done about the differences')
  withExample(withJson(doctor).action(run<[], DoctorOptions>(showDoctor)), 'slipway doctor', 'slipway doctor --fix')
}

async function showDoctor(session: Session, _: [], options: DoctorOptions): Promise<number> {
  const { out } = session
  const { repair, refused } = options.fix === true ? await mend(session) : { repair: null, refused: null }
  const examination = await examine(session).catch((error: unknown) => {
    throw refused === null || !(error instanceof Failure) ? error : notMended(error)
  })
  out.data(repair === null ? examination : { ...examination, ...repair })
  printFindings(out, examination.findings)
  if (repair !== null) printRepair(out, repair)
  printDifferences(out, examination)
  if (refused !== null) throw notMended(refused)
  const isBad =
    examination.findings.some(({ status }) => status === 'fail') ||
    repair?.mended.some(({ failed }) => failed !== null) === true ||
    examination.unknown !== null
  return isBad ? exits.failed : exits.done
}

/** Only the server mends; why it does not is told below what is the matter. */
async function mend({ client }: Session): Promise<{ repair: Repair | null; refused: Failure | null }> {
  try {
    return { repair: await client().call<Repair>('POST', '/doctor/repairs'), refused: null }
  } catch (error) {
    if (silenceOf(error) === null) throw error
    return { repair: null, refused: error as Failure }
  }
}

function notMended({ exit, message }: Failure): Failure {
  return new Failure(
    exit,
    `Nothing was mended: ${message}`,
    'The server mends what differs, at its start and every 30 s. On its machine: mend what fails in “slipway doctor” there, and start it when it does not run (npm start, or systemctl start slipway).',
  )
}

/** How the server is silent; null for an answer. */
function silenceOf(error: unknown): 'unreachable' | 'not-allowed' | 'unavailable' | null {
  if (!(error instanceof Failure)) return null
  if (error.exit === exits.unreachable) return 'unreachable'
  if (error.exit === exits.notAllowed) return 'not-allowed'
  return error instanceof Problem && (error.code === 'unavailable' || error.code === 'timeout') ? 'unavailable' : null
}

/** Without a server that answers, what can be seen from this machine, when it is the server's. */
async function examine({ client, out }: Session): Promise<Examination> {
  try {
    return await client().call<Examination>('GET', '/doctor')
  } catch (error) {
    const silence = silenceOf(error)
    if (silence === null) throw error
    const { message } = error as Failure
    const { examineThisMachine } = await import('../../setup/local-doctor.ts')
    // Null when this is not the server's machine, or its settings are not this environment's.
    const findings = await examineThisMachine({ message, silence }).catch(() => null)
    if (findings === null) throw error
    const why = silence === 'unavailable' ? message.replace(/\.$/, '') : 'The server does not answer'
    out.note(`${why}; this is what can be seen without it, on this machine.`)
    return { findings, differences: null, differenceCount: 0, unknown: message }
  }
}

function printFindings(out: Output, findings: Examination['findings']): void {
  const width = Math.max(...findings.map(({ check }) => check.length))
  for (const { check, status, what, why, mend } of findings) {
    out.line(`${status.padEnd(4)}  ${check.padEnd(width)}  ${what}`)
    if (status === 'ok') continue
    out.line(`      ${' '.repeat(width)}  ${why}`)
    if (mend !== null) out.line(`      ${' '.repeat(width)}  → ${mend}`)
  }
}

function printDifferences(out: Output, { differences, differenceCount, unknown }: Examination): void {
  out.line()
  if (differences === null) return out.line(`What differs is not known: ${unknown ?? ''}`)
  if (differenceCount === 0) return out.line('Everything runs as it should.')
  out.line(`${differenceCount} thing${differenceCount === 1 ? ' differs' : 's differ'} from what should be:`)
  for (const { what, why, then } of differences) out.line(`  ${what}. ${why} ${then}`)
  if (differenceCount > differences.length) out.line(`  … and ${differenceCount - differences.length} more`)
  out.line('This is done every 30 s by itself; at once with: slipway doctor --fix')
}

function printRepair(out: Output, { mended, mendedCount }: Repair): void {
  out.line()
  out.line(
    mendedCount === 0 ? 'There was nothing to mend.' : `${mendedCount} thing${mendedCount === 1 ? '' : 's'} differed:`,
  )
  for (const { what, then, failed } of mended) {
    out.line(failed === null ? `  ${what}. ${then}` : ` !     ${what}. It could not be mended: ${failed}`)
  }
  if (mendedCount > mended.length) out.line(`  … and ${mendedCount - mended.length} more`)
}
