import type { DeployPlan } from './api-types.ts'
import { exits } from './failure.ts'
import type { Output } from './output.ts'
import type { Session } from './session.ts'
import { printDifferences, printLock } from './print-differences.ts'
import { shortCommit } from '../kernel/short-commit.ts'

interface Wish {
  readonly commit: string | undefined
  readonly forceRebuild: boolean | undefined
  readonly reuseImage: boolean | undefined
  readonly contentFrom: string | undefined
}

export async function showPlan(session: Session, environmentPath: string, wish: Wish): Promise<number> {
  const plan = await askPlan(session, environmentPath, wish)
  session.out.data(plan)
  printPlan(session.out, plan)
  return exits.done
}

/** The image keeps what it was built with. */
export async function noteBuildVariables(session: Session, environmentPath: string, wish: Wish): Promise<void> {
  // What is wrong with the wish is said by the deploy.
  if (wish.commit !== undefined || wish.forceRebuild === true || wish.contentFrom !== undefined) return
  const { buildVariables, environment } = await askPlan(session, environmentPath, wish)
  if (buildVariables.length === 0) return
  session.out.note(
    `The image was built with other values of ${buildVariables.join(', ')} than ${environment.name} has now; these need a build.`,
  )
}

function askPlan(session: Session, environmentPath: string, wish: Wish): Promise<DeployPlan> {
  const given = new URLSearchParams()
  for (const [key, value] of Object.entries(wish)) if (value !== undefined) given.set(key, String(value))
  return session.client().call<DeployPlan>('GET', `${environmentPath}/deploy-plan?${given.toString()}`)
}

function printPlan(out: Output, plan: DeployPlan): void {
  const { environment, commit, current, image, buildVariables, instances, commands, warnings } = plan
  const serves =
    current === null ? 'which serves nothing yet' : `which serves ${current.release} (${shortCommit(current.commit)})`
  out.line(`${shortCommit(commit)} goes to ${environment.name}, ${serves}`)
  const of = image?.release == null ? '' : ` (${image.release} of ${image.environment})`
  out.line(
    image === null ? 'Image: it is built, without layer cache' : `Image: that of build ${image.build}${of} is taken`,
  )
  printDifferences(out, plan, {
    added: 'Commits that come',
    removed: 'Commits that go',
    nothing: 'Nothing differs from what it serves.',
  })
  out.line()
  out.line(`Release commands: ${commands.length === 0 ? 'none' : commands.join(', ')}`)
  out.line(`Instances: ${instances.map(({ process, instances: count }) => `${process} ${count}`).join(', ')}`)
  if (buildVariables.length > 0)
    out.line(`Other in the image than in ${environment.name}: ${buildVariables.join(', ')}`)
  for (const warning of warnings) out.line(`Warning: ${warning}`)
  printLock(out, environment.name, environment.lock)
  if (environment.held) out.line(`Pushes to ${environment.name} are held; after this they are deployed again.`)
}
