import type { Command } from 'commander'
import type { Examination, Repair } from '../api-types.ts'
import { exits, Failure } from '../failure.ts'
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
  const repair = options.fix === true ? await session.client().call<Repair>('POST', '/doctor/repairs') : null
  const examination = await examine(session)
  out.data(repair === null ? examination : { ...examination, ...repair })
  printFindings(out, examination.findings)
  if (repair !== null) printRepair(out, repair)
  printDifferences(out, examination)
  const isBad =
    examination.findings.some(({ status }) => status === 'fail') ||
    repair?.mended.some(({ failed }) => failed !== null) === true ||
    examination.unknown !== null
  return isBad ? exits.failed : exits.done
}

/** Without a server that answers, what can be seen from this machine, when it is the server's. */
async function examine({ client, out }: Session): Promise<Examination> {
  try {
    return await client().call<Examination>('GET', '/doctor')
  } catch (error) {
    if (!(error instanceof Failure) || (error.exit !== exits.unreachable && error.exit !== exits.notAllowed))
      throw error
    const findings = await examineHere(error)
    if (findings === null) throw error
    out.note('The server does not answer; this is what can be seen without it, on this machine.')
    return { findings, differences: null, differenceCount: 0, unknown: error.message }
  }
}

/** Null when this is not the server's machine, or its settings are not this environment's. */
async function examineHere({ message, exit }: Failure): Promise<Examination['findings'] | null> {
  const { examineThisMachine } = await import('../../setup/local-doctor.ts')
  return examineThisMachine({ message, isUnreachable: exit === exits.unreachable }).catch(() => null)
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
