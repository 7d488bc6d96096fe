import { actAs, slipway } from '../../kernel/actor.ts'
import { asSlipwayError, isAway } from '../../kernel/errors.ts'
import { faultPoint } from '../../kernel/fault-point.ts'
import { runChecks } from '../../runtime/index.ts'
import { recordContainer } from '../instances.ts'
import { readReleaseSpec, type ReleaseSpec } from '../release-spec.ts'
import type { Tools } from '../steps/index.ts'
import { getDeploy } from '../store.ts'
import { wantedMemory } from '../wanted-memory.ts'
import type { WakeRefusal } from './answer.ts'
import type { AskedRelease } from './asked-store.ts'
import { countAwake, insertWaking, recordAsleep, tellRelease, type Waking } from './awake-store.ts'
import { leadAwake } from './lead-awake.ts'

/** So many releases of one environment may be awake: whoever tries all addresses takes no memory from others. */
const mostAwake = 5
/** A proxy that was killed is back within seconds. */
const leadAttempts = 20
const leadAgainMs = 500

export interface WakeContext {
  readonly tools: Tools
  /** Rows are made one after the other, so that no two see the last place free. */
  readonly inTurn: Tools['whileRoutesHold']
  /** What a deploy had started is drained and removed. */
  readonly retire: (deployId: number) => void
  readonly signal: AbortSignal
}

/**
 * Starts one web instance of a release that does not run, with the image and the variables of then, checks it and leads its address to
 * it. No release commands, no workers. When it fails nothing of it stays. Resolves with why it was not woken; null: it is awake, or
 * need not be any more.
 */
export async function wakeRelease(context: WakeContext, release: AskedRelease): Promise<WakeRefusal | null> {
  const { tools, inTurn, signal } = context
  const term = tools.place.term()
  if (!(await tools.builds.hasImage(await tools.builds.get(release.buildId)))) return 'image'
  const spec = await readReleaseSpec(await getDeploy(tools.db, release.madeBy), tools)
  const { memoryBytes } = spec.build.config.resources
  let giveBack: (() => void) | undefined
  try {
    giveBack = await tools.memory?.assertForStart(wantedMemory(tools.db, release.environmentId, memoryBytes))
  } catch (error) {
    tools.logger.warn('a release is not woken', { release: nameOf(release), error })
    return 'memory'
  }
  await term()
  const begun = await inTurn(async () => {
    if ((await countAwake(tools.db, release.environmentId)) >= mostAwake) return 'many'
    return tools.db.transaction((tx) => insertWaking(tx, release, { spec, range: tools.range }))
  })
  if (begun === null || begun === 'many') {
    giveBack?.()
    return begun
  }
  faultPoint('wake.recorded')
  try {
    await term()
    await startAndCheck(tools, { spec, waking: begun, label: release.label, signal })
    faultPoint('wake.checked')
    if (!(await leadWhenBack(context, release, begun))) await end(context, release, begun)
    return null
  } catch (error) {
    // The next life of the server ends what this one has begun.
    if (signal.aborted) throw error
    // Told to end meanwhile, which failed whatever was being done.
    const isEnded = await end(context, release, begun)
    giveBack?.()
    if (!isEnded) return null
    tools.logger.warn('a release could not be woken', { release: nameOf(release), error })
    const { message } = asSlipwayError(error)
    await actAs(slipway, () =>
      tools.db.transaction((tx) => tellRelease(tx, 'release.wake-failed', release, { error: message })),
    )
    return 'failed'
  }
}

interface Starting {
  readonly spec: ReleaseSpec
  readonly waking: Waking
  readonly label: string
  readonly signal: AbortSignal
}

async function startAndCheck(tools: Tools, { spec, waking, label, signal }: Starting): Promise<void> {
  const { runtime, clock, addresses, probes, db } = tools
  const container = spec.instance({ process: 'web', position: 1, address: waking.address })
  const { containerId, address, restarts } = await runtime.start(container, signal)
  faultPoint('wake.started')
  await recordContainer(db, waking.instanceId, containerId)
  await runChecks({
    instance: { containerId, address, restarts },
    port: spec.port,
    config: spec.build.config,
    healthcheck: spec.image.healthcheck,
    host: addresses.hostHeader(addresses.environmentHost(label)),
    scheme: addresses.scheme,
    runtime,
    clock,
    ...(probes === undefined ? {} : { probes }),
    onAttempt: (text) => tools.logger.debug('checking a release that wakes', { label, release: spec.number, text }),
    signal,
  })
}

/** A proxy or a database that is away for a moment, after all checks have passed, is no fault of the release. */
async function leadWhenBack(
  { tools, signal }: WakeContext,
  release: AskedRelease,
  { instanceId }: Waking,
): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await leadAwake(tools, release, instanceId)
    } catch (error) {
      if (!isAway(error) || attempt === leadAttempts) throw error
      tools.logger.warn('leading to a release that is awake is tried again', { release: nameOf(release), error })
      await tools.clock.sleep(leadAgainMs, signal)
    }
  }
}

/** False when somebody else had told it to end. */
async function end({ tools, retire }: WakeContext, { madeBy }: AskedRelease, waking: Waking): Promise<boolean> {
  const isFirst = await recordAsleep(tools.db, waking.instanceId)
  retire(madeBy)
  return isFirst
}

const nameOf = ({ label, number }: AskedRelease): string => `v${number} of ${label}`
