import type { Build, BuildPlan, Builds } from '../builds/index.ts'
import {
  assertImage,
  type DeployRequest,
  findImageOrigin,
  type ImageOrigin,
  type ProcessCount,
  wantedProcesses,
} from '../deploys/index.ts'
import type { Environment } from '../environments/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import type { Database } from '../postgres/database.ts'
import {
  compareConfigurations,
  compareProcesses,
  compareVariables,
  type ConfigurationDifference,
  type Cut,
  cutDifferences,
  findMaker,
  type Releases,
  type ReleaseSummary,
  type VariablesDifference,
} from '../releases/index.ts'
import { listOtherBuildVariables, type ReleaseVariables, type Vars } from '../vars/index.ts'

/** What a deploy would do, before anybody asks for it. */
export interface DeployPlans {
  /** Reads the commit as the deploy would, and throws what would end it before anything is built. Nothing is changed. */
  plan(environment: Environment, wish: DeployWish): Promise<DeployPlan>
  /** A deploy of the serving release's image with the settings of today. Throws `conflict` when there is none. */
  reuse(environment: Environment): Promise<Pick<DeployRequest, 'commit' | 'branch' | 'from'>>
}

export interface DeployWish {
  /** Null: what serves, with the settings of today. */
  readonly commit: string | null
  readonly forceRebuild: boolean
}

export interface DeployPlan {
  readonly commit: string
  readonly current: ReleaseSummary | null
  /** The image that is taken; null: one is built. */
  readonly image: (ImageOrigin & { readonly build: number }) | null
  readonly variables: VariablesDifference
  /** Names of those that the image was built with otherwise than the environment has them now. */
  readonly buildVariables: readonly string[]
  readonly configuration: Cut<ConfigurationDifference>
  readonly processes: Cut<ConfigurationDifference>
  /** How many instances are started. */
  readonly instances: readonly ProcessCount[]
  /** The release commands that will run, by label. */
  readonly commands: readonly string[]
  readonly warnings: readonly string[]
}

interface Parts {
  readonly db: Database
  readonly builds: Pick<Builds, 'get' | 'readPlan' | 'listKept' | 'hasImage'>
  readonly releases: Pick<Releases, 'current' | 'marksOf'>
  readonly vars: Pick<Vars, 'listMarks'>
  readonly variables: Pick<ReleaseVariables, 'read' | 'readOf' | 'forBuild'>
}

const readMs = 30_000

export function makeDeployPlans(parts: Parts): DeployPlans {
  const { db, builds, releases, vars, variables } = parts

  const compare = async (environment: Environment, current: ReleaseSummary | null, config: Build['config']) => {
    const before = current === null ? null : (await builds.get(current.buildId)).config
    return {
      variables: compareVariables(
        current === null ? {} : await releases.marksOf(current.id),
        await vars.listMarks(environment.id),
      ),
      configuration: cutDifferences(before === null ? [] : compareConfigurations(before, config)),
      processes: cutDifferences(before === null ? [] : compareProcesses(before, config)),
      instances: await wantedProcesses(db, environment, config),
      commands: config.releaseCommands.filter(({ on }) => on.includes('deploy')).map(({ label }) => label),
    }
  }

  const describeImage = async (build: Build) => ({ ...(await findImageOrigin(db, build.id)), build: build.number })

  const planReuse = async (environment: Environment): Promise<DeployPlan> => {
    const current = await findServing(parts, environment)
    const build = await builds.get(current.buildId)
    const made = await variables.readOf(db, await findMaker(db, build.id))
    return {
      ...{ commit: current.commit, current, image: await describeImage(build), warnings: [] },
      buildVariables: listOtherBuildVariables(made, await variables.read(db, environment.id)),
      ...(await compare(environment, current, build.config)),
    }
  }

  const findKept = async (environment: Environment, commit: string, plan: BuildPlan): Promise<Build | null> => {
    const forBuild = variables.forBuild(await variables.read(db, environment.id))
    const wish = { appId: environment.appId, commit, plan: { ...plan, variables: forBuild } }
    for (const kept of await builds.listKept(wish)) if (await builds.hasImage(kept)) return kept
    return null
  }

  return {
    async plan(environment, { commit, forceRebuild }) {
      if (commit === null) return planReuse(environment)
      const plan = await builds.readPlan(environment.app, commit, AbortSignal.timeout(readMs))
      const kept = await findKept(environment, commit, plan)
      const current = await releases.current(environment.id)
      return {
        ...{ commit, current, buildVariables: [], warnings: plan.warnings },
        image: kept === null || forceRebuild ? null : await describeImage(kept),
        ...(await compare(environment, current, plan.config)),
      }
    },
    async reuse(environment) {
      const { id, commit, deploy } = await findServing(parts, environment)
      return { commit, branch: deploy?.branch ?? null, from: { releaseId: id, variables: 'environment' } }
    },
  }
}

/** The release that serves, whose image is there. */
async function findServing({ releases, builds }: Parts, { id, app, name }: Environment): Promise<ReleaseSummary> {
  const current = await releases.current(id)
  if (current === null) {
    throw new SlipwayError('conflict', `Nothing was deployed to ${name} of ${app} yet, so there is no image to use.`, {
      hint: `Deploy first: slipway deploy ${name} -a ${app}`,
    })
  }
  await assertImage(builds, { ...current, app, environment: name, from: { number: current.number, environment: name } })
  return current
}
