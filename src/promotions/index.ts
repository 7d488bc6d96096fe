import type { Builds } from '../builds/index.ts'
import { assertImage, type DeployRequest, type Deploys, type QueuedDeploy } from '../deploys/index.ts'
import type { Environment } from '../environments/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import type { Database } from '../postgres/database.ts'
import {
  compareVariables,
  findMaker,
  type ReleaseComparison,
  type Releases,
  type ReleaseSummary,
} from '../releases/index.ts'
import { listOtherBuildVariables, type ReleaseVariables, type Vars } from '../vars/index.ts'

/** Putting what one environment serves into another, without building it again. */
export interface Promotions {
  /** What would change in the target. Throws with the reason when it cannot be. */
  plan(target: Environment, wish: PromotionWish): Promise<PromotionPlan>
  /**
   * Puts it into the target's line, as a deploy of the kind `promotion`. Throws what `plan` does, and `conflict` when the image was
   * built with other variables than the target has, unless it is to be taken as it is or built again.
   */
  begin(target: Environment, wish: PromotionWish & PromotionChoice & { by: string }): Promise<QueuedDeploy>
}

export interface PromotionWish {
  readonly from: Environment
  /** The release that somebody was shown; throws `conflict` when `from` serves another by now. Null: whatever it serves. */
  readonly release: number | null
}

export interface PromotionChoice {
  /** Takes the image although it was built with other variables. */
  readonly anyway: boolean
  /** Builds its commit again, with the target's variables. */
  readonly rebuild: boolean
}

export interface PromotionPlan {
  readonly source: ReleaseSummary
  /** From what the target serves to what it will; null: nothing was deployed there yet. */
  readonly comparison: ReleaseComparison | null
  /** Names of those that the image was built with otherwise than the target would have it. */
  readonly buildVariables: readonly string[]
  /** Why the image cannot be taken, which matters to nobody who has its commit built again; null: it can. */
  readonly refusal: SlipwayError | null
  /** The release commands that will run, by label. */
  readonly commands: readonly string[]
  /** Pushes to the target are held, and will not be any more. */
  readonly endsHold: boolean
}

interface Parts {
  readonly db: Database
  readonly deploys: Pick<Deploys, 'request' | 'wake'>
  readonly releases: Pick<Releases, 'current' | 'compare' | 'marksOf'>
  readonly builds: Pick<Builds, 'get' | 'hasImage'>
  readonly vars: Pick<Vars, 'listMarks'>
  readonly variables: Pick<ReleaseVariables, 'read' | 'readOf'>
}

export function makePromotions(parts: Parts): Promotions {
  const { db, deploys, builds } = parts

  const plan: Promotions['plan'] = async (target, wish) => {
    const source = await findSource(parts, target, wish)
    const [current, build, buildVariables, refusal] = await Promise.all([
      parts.releases.current(target.id),
      builds.get(source.buildId),
      compareBuildVariables(parts, target, source),
      findRefusal(parts, { target, from: wish.from, source }),
    ])
    const commands = build.config.releaseCommands.filter(({ on }) => on.includes('promote'))
    return {
      source,
      comparison: current === null ? null : await compare(parts, { target, current, from: wish.from, source }),
      buildVariables,
      refusal,
      commands: commands.map(({ label }) => label),
      endsHold: target.held,
    }
  }

  return {
    plan,
    async begin(target, { by, anyway, rebuild, ...wish }) {
      const { source, buildVariables, refusal } = await plan(target, wish)
      if (anyway && rebuild) throw new SlipwayError('bad_request', 'Either the image as it is, or a new one: not both.')
      if (buildVariables.length > 0 && !anyway && !rebuild) throw otherVariablesError(target, wish.from, buildVariables)
      if (refusal !== null && !rebuild) throw refusal
      const request: DeployRequest = {
        environmentId: target.id,
        kind: 'promotion',
        branch: source.deploy?.branch ?? null,
        commit: source.commit,
        requestedBy: by,
        pushId: null,
        ...(rebuild ? { forceRebuild: true } : { from: { releaseId: source.id, variables: 'environment' } }),
      }
      const queued = await db.transaction((tx) => deploys.request(tx, request))
      deploys.wake()
      return queued
    },
  }
}

async function findSource({ releases }: Parts, target: Environment, wish: PromotionWish): Promise<ReleaseSummary> {
  const { from, release } = wish
  const { app } = target
  if (from.id === target.id) {
    throw new SlipwayError('bad_request', `${target.name} cannot be promoted to itself.`, {
      hint: `To start what it serves anew: slipway restart ${target.name} -a ${app}`,
    })
  }
  const source = await releases.current(from.id)
  if (source === null) {
    throw new SlipwayError(
      'conflict',
      `Nothing was deployed to ${from.name} of ${app} yet, so there is nothing to promote.`,
      {
        hint: `Deploy first: slipway deploy ${from.name} -a ${app}`,
      },
    )
  }
  if (release !== null && release !== source.number) {
    throw new SlipwayError(
      'conflict',
      `${from.name} serves v${source.number} by now, not v${release}. Nothing was promoted.`,
      {
        hint: `See what would change: slipway promote ${from.name} ${target.name} --plan -a ${app}`,
      },
    )
  }
  return source
}

interface Sides {
  readonly target: Environment
  readonly from: Environment
  readonly source: ReleaseSummary
}

async function findRefusal({ builds }: Parts, { target, from, source }: Sides): Promise<SlipwayError | null> {
  const origin = { number: source.number, environment: from.name }
  try {
    await assertImage(builds, { ...source, app: target.app, environment: target.name, from: origin })
    return null
  } catch (error) {
    if (error instanceof SlipwayError) return error
    throw error
  }
}

/** Its variables are those that the target has today: the new release will have them. */
async function compare(
  { releases, vars }: Parts,
  { target, current, from, source }: Sides & { readonly current: ReleaseSummary },
): Promise<ReleaseComparison> {
  const [compared, before, today] = await Promise.all([
    releases.compare(
      { environmentId: target.id, environment: target.name, number: current.number },
      { environmentId: from.id, environment: from.name, number: source.number },
    ),
    releases.marksOf(current.id),
    vars.listMarks(target.id),
  ])
  return { ...compared, variables: compareVariables(before, today) }
}

async function compareBuildVariables(
  { db, variables }: Parts,
  target: Environment,
  source: ReleaseSummary,
): Promise<string[]> {
  const [built, wanted] = await Promise.all([
    findMaker(db, source.buildId).then((releaseId) => variables.readOf(db, releaseId)),
    variables.read(db, target.id),
  ])
  return listOtherBuildVariables(built, wanted)
}

const promoteAgain = (target: Environment, from: Environment): string =>
  `slipway promote ${from.name} ${target.name} -a ${target.app}`

function otherVariablesError(target: Environment, from: Environment, names: readonly string[]): SlipwayError {
  const again = promoteAgain(target, from)
  return new SlipwayError(
    'conflict',
    `The image that ${from.name} serves was built with other values for the build than ${target.name} has: ${names.join(', ')}. Nothing was promoted.`,
    {
      hint: `To take the image as it is: ${again} --anyway. To build its commit again for ${target.name}: ${again} --rebuild`,
    },
  )
}
