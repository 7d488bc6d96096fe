import type { Build, BuildPlan, BuildWish } from '../../builds/index.ts'
import { createRelease } from '../../releases/index.ts'
import { buildHeading, type Deploy, isOfSameRelease } from '../deploy.ts'
import { lockLine } from '../line-store.ts'
import { recordBuild, recordBuildPlace, recordRelease } from '../store.ts'
import type { Step, StepContext } from './step.ts'
import { takeImage } from './take-image.ts'
import { takeKept } from './take-kept.ts'
import { takeServing } from './take-serving.ts'

/**
 * Takes the image that was made of the same before, or else waits for one, made without any layer cache for all deploys that want it
 * now; then makes the release: the build with a number in this environment.
 */
export const build: Step = async (context) => {
  const { deploy, log, signal, tools } = context
  if (isOfSameRelease(deploy.kind)) return takeServing(context)
  if (deploy.from !== null) return takeImage(context)
  const plan = await tools.builds.readPlan(deploy.app, deploy.commit, signal)
  for (const warning of plan.warnings) log.write('detail', `Warning: ${warning}`)
  for (;;) {
    const planned = await withVariables(context, plan)
    const built = await takeOrBuild(context, planned)
    if (built.image !== null)
      log.write(
        'detail',
        `Image ${built.image.digest.slice(0, 19)}, ${megabytes(built.image.sizeBytes)} MB (build ${built.number})`,
      )
    if (deploy.releaseId !== null || (await makeRelease(context, planned, built))) return
    log.write('detail', 'Variables of the build were changed while it was made: it is made again')
  }
}

async function takeOrBuild(context: StepContext, plan: BuildPlan): Promise<Build> {
  const { deploy, log } = context
  const recorded = await findRecorded(context, plan)
  // An earlier life of the server has taken it, or built it.
  if (recorded?.image != null) return recorded
  const kept = recorded === null ? await takeKept(context, wishOf(deploy, plan)) : null
  if (kept !== null) return kept
  const heading = buildHeading(deploy.commit)
  log.write(heading.kind, heading.text)
  return waitForBuild(context, plan, recorded)
}

/** Throws, before anything is built, for a secret that the build should get. */
async function withVariables({ deploy, tools, log }: StepContext, plan: BuildPlan): Promise<BuildPlan> {
  if (tools.variables === undefined) return plan
  const variables = tools.variables.forBuild(await tools.variables.read(tools.db, deploy.environmentId))
  const names = Object.keys(variables.args)
  if (names.length > 0) log.write('detail', `With the build variables ${names.join(', ')}`)
  return { ...plan, variables }
}

/** False when the build got other variables than the release would have: then there is none. */
async function makeRelease({ deploy, own, tools }: StepContext, plan: BuildPlan, built: Build): Promise<boolean> {
  return tools.db.transaction(async (tx) => {
    // Nobody changes a variable, or revokes a value, between what is read and what is kept.
    await lockLine(tx, deploy.environmentId)
    const snapshot = (await tools.variables?.read(tx, deploy.environmentId)) ?? []
    const wanted = tools.variables?.forBuild(snapshot).key ?? null
    if (wanted !== (plan.variables?.key ?? null)) return false
    const release = await createRelease(tx, deploy.environmentId, built.id)
    await tools.variables?.keep(tx, release.id, snapshot)
    await recordRelease(tx, own, release.id)
    return true
  })
}

/** An earlier life of the server may have recorded which build the deploy waits for. */
async function waitForBuild(context: StepContext, plan: BuildPlan, known: Build | null): Promise<Build> {
  const { deploy, log, signal, tools } = context
  const onPlace = keepPlace(context)
  for (let recorded = known; ; recorded = null) {
    const wanted = recorded ?? (await join(context, plan))
    await context.assertHeld()
    const built = await tools.builds.wait(wanted, plan, {
      deployId: deploy.id,
      app: deploy.app,
      onLine: (line) => log.write('output', line),
      room: () => log.room(),
      onNote: (text) => log.write('detail', text),
      onPlace,
      signal,
    })
    if (built !== null) return built
  }
}

/** The build that is recorded, unless the environment's variables have changed since. */
async function findRecorded({ deploy, tools }: StepContext, plan: BuildPlan): Promise<Build | null> {
  if (deploy.buildId === null) return null
  const build = await tools.builds.get(deploy.buildId)
  // With its release made, nothing is to be decided any more.
  if (tools.variables === undefined || deploy.releaseId !== null) return build
  return (await tools.builds.isFor(build, wishOf(deploy, plan))) ? build : null
}

/** Keeps the build's place in the deploy's row, for lists and status: of those that come faster than they are stored the last. */
function keepPlace({ own, tools }: StepContext): (place: string | null) => void {
  let wanted: string | null = null
  let busy = false
  const store = async (): Promise<void> => {
    busy = true
    try {
      while (wanted !== null) {
        const place = wanted
        wanted = null
        await recordBuildPlace(tools.db, own, place)
      }
    } catch (error) {
      // The log has it, too: what is lost here (the database away, another owner) is told with the next place.
      tools.logger.debug('the place of a build is not stored', { deployId: own.id, error })
    } finally {
      busy = false
    }
  }
  return (place) => {
    wanted = place
    if (!busy) void store()
  }
}

async function join({ deploy, own, tools }: StepContext, plan: BuildPlan): Promise<Build> {
  return tools.db.transaction(async (tx) => {
    const joined = await tools.builds.join(tx, wishOf(deploy, plan))
    await recordBuild(tx, own, joined.id)
    return joined
  })
}

const megabytes = (bytes: number): string => (bytes / 1_000_000).toFixed(1)

function wishOf({ id, appId, commit, forceRebuild }: Deploy, plan: BuildPlan): BuildWish {
  return { appId, commit, plan, ...(forceRebuild ? { ownOf: id } : {}) }
}
