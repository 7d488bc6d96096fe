import { type Finding, isBad, isOk } from './finding.ts'

/** What the last night's work did, by part: counts, or why it failed. */
export interface NightFacts {
  readonly begunAt: Date
  readonly outcome: Readonly<Record<string, Readonly<Record<string, number | string>>>>
}

const subject = {
  check: 'nightly work',
  why: 'What is not needed any more is removed then; where that fails the disk fills up.',
}

/** Null: there was no night yet. Pure. */
export function judgeNight(night: NightFacts | null): Finding {
  if (night === null) return isOk(subject, 'It begins two minutes after the first start')
  const at = night.begunAt.toISOString().replace(/\.\d+Z$/, 'Z')
  const wrong = Object.entries(night.outcome).flatMap(([part, { error, failed }]) => {
    if (typeof error === 'string') return [`${part}: ${error.replace(/\.$/, '')}`]
    return typeof failed === 'number' && failed > 0 ? [`${part}: ${failed} could not be tidied`] : []
  })
  if (wrong.length === 0) return isOk(subject, `It was done last at ${at}`)
  return isBad(subject, 'warn', {
    what: `At ${at}: ${wrong.join('; ')}`,
    mend: 'It is tried again the next night. Which and why stands in the server’s log, logs/slipway.log in the data folder.',
  })
}
