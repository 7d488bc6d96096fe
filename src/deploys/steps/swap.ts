import { SlipwayError } from '../../kernel/errors.ts'
import { faultPoint } from '../../kernel/fault-point.ts'
import { environmentKey, releaseKey, releaseSet, type Target } from '../../routing/index.ts'
import { listInstancesOfRelease } from '../instances.ts'
import { readReleaseSpec } from '../release-spec.ts'
import { keepInstances } from './keep-instances.ts'
import type { Step } from './step.ts'

/**
 * Moves the traffic: the release's set and its own address are written first, then one command points the environment at it. The
 * database learns of it when the deploy is recorded as live; if Slipway dies in between, the step is done again.
 */
export const swap: Step = async ({ assertHeld, deploy, tools, log }) => {
  const { router, addresses } = tools
  const spec = await readReleaseSpec(deploy, tools)
  // Beside the swap, which is undone when this fails: the engine takes longer for it than the proxy for all the rest.
  const kept = keepInstances(spec, tools)
  kept.catch(() => undefined)
  const targets = (await listInstancesOfRelease(tools.db, spec.releaseId)).map(({ address, port }): Target => {
    if (address === null)
      throw new SlipwayError('internal', `Release ${spec.releaseId} has an instance without an address.`)
    return { address, port }
  })
  log.write('step', `Swapping ${addresses.environmentHost(deploy.label)} to v${spec.number}`)
  const to = { set: releaseSet(spec.releaseId), size: targets.length }
  await assertHeld()
  await router.defineSet(to.set, targets)
  if (!deploy.live) {
    await router.swap(releaseKey(spec.releaseId), to)
    await router.addHost(addresses.releaseHost(deploy.label, spec.number), releaseKey(spec.releaseId))
  }
  faultPoint('deploy.swap.before')
  await assertHeld()
  await router.swap(environmentKey(deploy.environmentId), to)
  await router.addHost(addresses.environmentHost(deploy.label), environmentKey(deploy.environmentId))
  await kept
}
