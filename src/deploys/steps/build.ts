import type { Build, BuildPlan } from '../../builds/index.ts'
import { createRelease } from '../../releases/index.ts'
import { recordBuild, recordBuildPlace, recordRelease } from '../store.ts'
import { buildHeading } from '../deploy.ts'
import type { Step, StepContext } from './step.ts'

/**
 * Waits for the image of the commit, made without any layer cache for all deploys that want it now, and then makes the
 * release: the build with a number in this environment.
 */
export const build: Step = async (context) => {
  const { deploy, own, log, signal, tools } = context
  const plan = await tools.builds.readPlan(deploy.app, deploy.commit, signal)
  const heading = buildHeading(deploy.commit)
  log.write(heading.kind, heading.text)
  for (const warning of plan.warnings) log.write('detail', `Warning: ${warning}`)
  const built = await waitForBuild(context, plan)
  if (built.image !== null)
    log.write(
      'detail',
      `Image ${built.image.digest.slice(0, 19)}, ${megabytes(built.image.sizeBytes)} MB (build ${built.number})`,
    )
  if (deploy.releaseId !== null) return
  await tools.db.transaction(async (tx) => {
    const release = await createRelease(tx, deploy.environmentId, built.id)
    await recordRelease(tx, own, release.id)
  })
}

/** An earlier life of the server may have recorded which build the deploy waits for. */
async function waitForBuild(context: StepContext, plan: BuildPlan): Promise<Build> {
  const { deploy, log, signal, tools } = context
  const onPlace = keepPlace(context)
  for (let id = deploy.buildId; ; id = null) {
    const wanted = id === null ? await join(context, plan) : await tools.builds.get(id)
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
    const joined = await tools.builds.join(tx, { appId: deploy.appId, commit: deploy.commit, plan })
    await recordBuild(tx, own, joined.id)
    return joined
  })
}

const megabytes = (bytes: number): string => (bytes / 1_000_000).toFixed(1)
