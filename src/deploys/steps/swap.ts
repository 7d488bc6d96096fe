import { SlipwayError } from '../../kernel/errors.ts'
import { faultPoint } from '../../kernel/fault-point.ts'
import { environmentKey, type RouteTarget, releaseKey } from '../../routing/index.ts'
import { hostEntriesOf } from '../exposures.ts'
import { findExposures } from '../exposures-store.ts'
import { listInstancesOfDeploy } from '../instances.ts'
import { readReleaseSpec } from '../release-spec.ts'
import { routesOf } from '../routes-of.ts'
import { keepInstances } from './keep-instances.ts'
import type { Step } from './step.ts'

/**
 * Moves the traffic: the release's set and its own address are written first, then one command points the environment at it. The
 * database learns of it when the deploy is recorded as live; if Slipway dies in between, the step is done again.
 */
export const swap: Step = async ({ assertHeld, deploy, tools, log }) => {
  const { router, addresses } = tools
  const { environmentId, label, live } = deploy
  const [spec, exposures, instances] = await Promise.all([
    readReleaseSpec(deploy, tools),
    findExposures(tools.db, environmentId),
    listInstancesOfDeploy(tools.db, deploy.instancesOf),
  ])
  const route = {
    environmentId,
    label,
    live,
    releaseId: spec.releaseId,
    releaseNumber: spec.number,
    deployId: deploy.instancesOf,
  }
  const wanted = routesOf({
    exposures,
    routes: [route],
    // All of them have passed their checks.
    instances: instances.map((instance) => ({ ...instance, state: 'serving', downSince: null })),
    hosts: addresses,
  })
  const to = wanted.keys.get(environmentKey(environmentId)) as RouteTarget
  if ('state' in to) throw new SlipwayError('internal', `Release ${spec.releaseId} has no instance with an address.`)
  log.write('step', `Swapping ${addresses.environmentHost(label)} to v${spec.number}`)
  await assertHeld()
  // Beside the swap, which is undone when this fails: the engine takes longer for it than the proxy for all the rest.
  const kept = keepInstances(deploy, spec, tools)
  kept.catch(() => undefined)
  for (const [set, targets] of wanted.sets) await router.defineSet(set, targets)
  const { environment, releases } = hostEntriesOf(route, exposures)
  for (const [id, rules] of wanted.rules ?? []) await router.setRules(id, rules)
  if (releases !== null) {
    await router.swap(releaseKey(spec.releaseId), to)
    await router.addHost(addresses.releaseHost(label, spec.number), releases.running)
  }
  faultPoint('deploy.swap.before')
  await assertHeld()
  await router.swap(environmentKey(environmentId), to)
  faultPoint('deploy.swap.moved')
  await router.addHost(addresses.environmentHost(label), environment)
  if (releases !== null) await router.addHost(addresses.otherReleasesHost(label), releases.others)
  await kept
}
