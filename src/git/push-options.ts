import { asSlipwayError, SlipwayError } from '../kernel/errors.ts'
import { parseEnvironmentName, quote } from '../kernel/names.ts'

export interface PushOptions {
  /** Return when queued. */
  readonly nowait: boolean
  /** Keep the commits, deploy nothing. */
  readonly skipDeploy: boolean
  /** Each deploy makes a build of its own, shared with no other. */
  readonly forceRebuild: boolean
  /** Deploy to these environments instead of those that follow the branch; empty: those that follow. */
  readonly environments: readonly string[]
}

const known = '-o nowait, -o skip-deploy, -o env=<name>, -o force-rebuild'

/** Reads `git push -o …`; throws `bad_request` that names what is not known: an option that is ignored would be a surprise. */
export function parsePushOptions(given: readonly string[]): PushOptions {
  const environments = new Set<string>()
  let nowait = false
  let skipDeploy = false
  let forceRebuild = false
  for (const option of given) {
    if (option === 'nowait') nowait = true
    else if (option === 'skip-deploy') skipDeploy = true
    else if (option === 'force-rebuild') forceRebuild = true
    else if (option.startsWith('env=')) environments.add(parseEnvironment(option.slice('env='.length)))
    else if (option === 'strict')
      throw new SlipwayError('bad_request', 'The push option strict is not there yet.', { hint: `There are: ${known}` })
    else
      throw new SlipwayError('bad_request', `There is no push option ${quote(option)}.`, {
        hint: `There are: ${known}`,
      })
  }
  if (skipDeploy && (environments.size > 0 || forceRebuild)) {
    const other = forceRebuild ? 'force-rebuild' : 'env'
    throw new SlipwayError('bad_request', `The push options skip-deploy and ${other} contradict each other.`, {
      hint: 'Leave one of them out.',
    })
  }
  return { nowait, skipDeploy, forceRebuild, environments: [...environments] }
}

function parseEnvironment(name: string): string {
  try {
    return parseEnvironmentName(name)
  } catch (error) {
    const { message, hint } = asSlipwayError(error)
    throw new SlipwayError('bad_request', message, { cause: error, hint: hint ?? 'Example: -o env=live' })
  }
}
