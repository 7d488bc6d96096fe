import type { Builder, Images } from '../builds/index.ts'
import type { Deploys } from '../deploys/index.ts'
import type { Git } from '../git/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import { faultPoint } from '../kernel/fault-point.ts'
import type { Clock } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Database } from '../postgres/database.ts'
import type { GoingApp, GoingEnvironment } from './store.ts'
import * as store from './store.ts'

export interface RemovalNeeds {
  readonly db: Database
  readonly deploys: Pick<Deploys, 'closeLine' | 'takeDown' | 'wake'>
  readonly images: Images
  readonly builder: Pick<Builder, 'listTraces'>
  readonly git: Pick<Git, 'forgetDeploys' | 'removeRepository'>
  /** Ends the jobs of it that go, and the commands that people run there. */
  readonly endJobs: (environmentId: number, signal: AbortSignal) => Promise<void>
  /** What its instances printed and the proxy said of its requests. */
  readonly removeLogs: (environment: { app: string; environment: string }) => Promise<void>
  readonly clock: Clock
  readonly logger: Logger
}

/** Deploys whose logs are deleted in one statement: a log may have 20 MB. */
const logsAtOnce = 20
const buildsLookedEveryMs = 250

/**
 * Removes an environment with all that it has. The row that says so goes last, so whatever breaks off is begun again; each
 * step is safe to repeat.
 */
export async function removeEnvironment(
  needs: RemovalNeeds,
  environment: GoingEnvironment,
  signal: AbortSignal,
): Promise<void> {
  const { db, deploys, images, git } = needs
  const { id, app, name } = environment
  await needs.endJobs(id, signal)
  await deploys.takeDown(environment, signal)
  faultPoint('removal.down')
  await store.unpinReleases(db, id)
  await images.remove(await store.listOwnImages(db, id), signal)
  faultPoint('removal.images')
  const deployIds = await store.listDeploysOf(db, id)
  await git.forgetDeploys(app, deployIds)
  for (let i = 0; i < deployIds.length; i += logsAtOnce) {
    signal.throwIfAborted()
    await store.deleteLogs(db, deployIds.slice(i, i + logsAtOnce))
  }
  await needs.removeLogs({ app, environment: name })
  faultPoint('removal.logs')
  await db.transaction(async (tx) => {
    // Before its row goes: the event keeps its name.
    if ((await store.lockEnvironment(tx, id)) === null) return
    const event = { kind: 'environment.removed', appId: environment.appId, environmentId: id }
    await appendEvent(tx, { ...event, ...byOf(environment), data: { app, environment: name } })
    await store.deleteEnvironment(tx, id)
  })
  faultPoint('removal.recorded')
  // The proxy may have told of a last request meanwhile.
  await needs.removeLogs({ app, environment: name })
}

/** Removes an app with all its environments, its images and its repository. */
export async function removeApp(needs: RemovalNeeds, app: GoingApp, signal: AbortSignal): Promise<void> {
  const { db, git } = needs
  const environments = await store.listEnvironmentsOf(db, app.id)
  await Promise.all(environments.map((environment) => removeEnvironment(needs, environment, signal)))
  await removeBuilds(needs, app, signal)
  faultPoint('removal.builds')
  await git.removeRepository(app.name, signal)
  faultPoint('removal.repository')
  await db.transaction(async (tx) => {
    if (!(await store.lockGoingApp(tx, app.id))) return
    await appendEvent(tx, { kind: 'app.removed', appId: app.id, ...byOf(app), data: { app: app.name } })
    await store.deleteApp(tx, app.id)
  })
}

/** Nobody acts any more when it is done. */
const byOf = ({ removedBy }: { removedBy: string | null }): { by?: string } =>
  removedBy === null ? {} : { by: removedBy }

/** Their rows go with the app: what the engine still had of them afterwards would be nobody's. */
async function removeBuilds(needs: RemovalNeeds, { id, name }: GoingApp, signal: AbortSignal): Promise<void> {
  const { db, images, builder, clock } = needs
  let builds = await store.listBuildsOf(db, id)
  for (; builds.some(({ isOpen }) => isOpen); builds = await store.listBuildsOf(db, id)) {
    await clock.sleep(buildsLookedEveryMs, signal)
  }
  await images.remove(await store.listImagesOf(db, id), signal)
  const traces = new Set(await builder.listTraces())
  if (!builds.some((build) => traces.has(build.id))) return
  await images.sweep(signal)
  const left = new Set(await builder.listTraces())
  const count = builds.filter((build) => left.has(build.id)).length
  if (count > 0) throw new SlipwayError('unavailable', `The engine still has ${count} of the images of ${name}.`)
}
