import type { WatchConfig } from '../../builds/index.ts'

/*
 * What went live is watched for a while, when its configuration wants that (`watch: 60s`): when one of its instances ends by
 * itself, or too many of its answers are errors, the environment goes back to what served before and is still warm.
 */

/** How what went live answers, since somebody began to count. */
export interface Answers {
  readonly total: number
  /** From 500 on. */
  readonly failed: number
}

/** Of fewer answers no share is taken: one error of three says nothing. */
const fewestAnswers = 20

export interface Ended {
  readonly process: string
  readonly position: number
  readonly exitCode: number | null
  readonly outOfMemory: boolean
}

/** Why to go back, in a sentence; null when there is no reason. Pure. */
export function judgeWatch(
  { errors }: Pick<WatchConfig, 'errors'>,
  { ended, answers }: { ended: readonly Ended[]; answers: Answers | null },
): string | null {
  const [first] = ended
  if (first !== undefined) {
    const how = first.outOfMemory
      ? 'needed more memory than it may have'
      : `ended${first.exitCode === null ? '' : ` with exit code ${first.exitCode}`}`
    return `${first.process}.${first.position} ${how} while it was watched.`
  }
  if (answers === null || answers.total < fewestAnswers || answers.failed <= answers.total * errors) return null
  const percent = Math.round((answers.failed / answers.total) * 100)
  return `${answers.failed} of ${answers.total} answers (${percent} %) were errors while it was watched; ${Math.round(errors * 100)} % may be.`
}
