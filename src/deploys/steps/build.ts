import { type Build, type BuildPlan } from '../../builds/index.ts'
import { createRelease } from '../../releases/index.ts'
import { labelNames } from '../../runtime/index.ts'
import { recordBuild, recordRelease } from '../store.ts'
import type { Step, StepContext } from './step.ts'

/** Makes the image of the commit, without any layer cache, and then the release: the build with a number in this environment. */
export const build: Step = async (context) => {
  const { deploy, own, log, signal, tools } = context
  const plan = await tools.builds.readPlan(deploy.app, deploy.commit, signal)
  log.write('step', `Building ${deploy.commit.slice(0, 7)} without layer cache`)
  for (const warning of plan.warnings) log.write('detail', `Warning: ${warning}`)
  const built = await tools.builds.run(await findOrCreate(context, plan), plan, {
    app: deploy.app,
    labels: { [labelNames.app]: deploy.app, [labelNames.deploy]: String(deploy.id) },
    onLine: (line) => log.write('output', line),
    room: () => log.room(),
    onNote: (text) => log.write('detail', text),
    signal,
  })
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

async function findOrCreate({ deploy, own, tools }: StepContext, plan: BuildPlan): Promise<Build> {
  if (deploy.buildId !== null) return tools.builds.get(deploy.buildId)
  return tools.db.transaction(async (tx) => {
    const created = await tools.builds.create(tx, { appId: deploy.appId, commit: deploy.commit, plan })
    await recordBuild(tx, own, created.id)
    return created
  })
}

const megabytes = (bytes: number): string => (bytes / 1_000_000).toFixed(1)
