import { asSlipwayError, SlipwayError } from '../kernel/errors.ts'
import { parseEnvironmentName, quote } from '../kernel/names.ts'

export interface PushOptions {
  /** Return when queued. */
  readonly nowait: boolean
  /** Keep the commits, deploy nothing. */
  readonly skipDeploy: boolean
  /** Each deploy makes a build of its own, shared with no other. */
  readonly forceRebuild: boolean
  /** The branches move only when every deploy goes live. */
  readonly strict: boolean
  /** Deploy to these environments instead of those that follow the branch; empty: those that follow. */
  readonly environments: readonly string[]
}

export const mostPushOptions = 50
export const longestPushOption = 1_000

const known = '-o nowait, -o skip-deploy, -o env=<name>, -o force-rebuild, -o strict'

/** Reads `git push -o …`; throws `bad_request` that names what is not known: an option that is ignored would be a surprise. */
export function parsePushOptions(given: readonly string[]): PushOptions {
  assertFew(given)
  const environments = new Set<string>()
  let nowait = false
  let skipDeploy = false
  let forceRebuild = false
  let strict = false
  for (const option of given) {
    if (option === 'nowait') nowait = true
    else if (option === 'skip-deploy') skipDeploy = true
    else if (option === 'force-rebuild') forceRebuild = true
    else if (option === 'strict') strict = true
    else if (option.startsWith('env=')) environments.add(parseEnvironment(option.slice('env='.length)))
    else
      throw new SlipwayError('bad_request', `There is no push option ${quote(option)}.`, {
        hint: `There are: ${known}`,
      })
  }
  if (skipDeploy && strict) throw contradictionError('skip-deploy', 'strict')
  if (skipDeploy && forceRebuild) throw contradictionError('skip-deploy', 'force-rebuild')
  if (skipDeploy && environments.size > 0) throw contradictionError('skip-deploy', 'env')
  // Whether a strict push is accepted is known when its deploys have ended.
  if (nowait && strict) throw contradictionError('nowait', 'strict')
  return { nowait, skipDeploy, forceRebuild, strict, environments: [...environments] }
}

function assertFew(given: readonly string[]): void {
  if (given.length > mostPushOptions)
    throw new SlipwayError('bad_request', `A push may have at most ${mostPushOptions} push options.`, {
      hint: 'Leave out what is given twice.',
    })
  const tooLong = given.find((option) => option.length > longestPushOption)
  if (tooLong === undefined) return
  const message = `The push option ${quote(tooLong)} is longer than ${longestPushOption} characters: there is none such.`
  throw new SlipwayError('bad_request', message, { hint: `There are: ${known}` })
}

function contradictionError(one: string, other: string): SlipwayError {
  return new SlipwayError('bad_request', `The push options ${one} and ${other} contradict each other.`, {
    hint: 'Leave one of them out.',
  })
}

function parseEnvironment(name: string): string {
  try {
    return parseEnvironmentName(name)
  } catch (error) {
    const { message, hint } = asSlipwayError(error)
    throw new SlipwayError('bad_request', message, { cause: error, hint: hint ?? 'Example: -o env=live' })
  }
}
