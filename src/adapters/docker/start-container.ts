import { isAway, SlipwayError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import { type Instance, labelNames } from '../../runtime/index.ts'
import { asInstance, inspectContainer, removeOwn, unlessDone } from './containers.ts'
import {
  containerRequest,
  explainStartFailure,
  isSame,
  wantsInit,
  type ContainerPlan,
  type ContainerSpec,
} from './container-spec.ts'
import { engineReason, isNotFound, type Engine } from './engine.ts'
import { readImage } from './image-facts.ts'
import type Docker from 'dockerode'

/** 60 s: a start takes 0.2 s on a quiet machine and has been seen to take 8 s on a busy one. */
const timeoutMs = 60_000

const nameAttempts = 100
const { variables } = labelNames

export interface StartOptions {
  /** Called with a container that is made and not started yet. */
  readonly onCreated?: (containerId: string) => Promise<void>
  readonly engine: Engine
  readonly plan: Omit<ContainerPlan, 'init'>
  readonly signal: AbortSignal
  readonly logger: Logger
}

/**
 * Creates a container and starts it, or takes over the one of the same name. One that has run before is returned as it ended.
 * What a failed or aborted start made is removed.
 */
export async function startContainer(spec: ContainerSpec, options: StartOptions): Promise<Instance> {
  const created = await createOrFind(spec, options)
  if (created.found !== null && created.found.state !== 'created') return created.found
  try {
    await options.onCreated?.(created.id)
    const start = (): Promise<void> => startOrRemove(created.id, options)
    const refusal =
      spec.startUnlessRefused === undefined ? await start().then(() => null) : await spec.startUnlessRefused(start)
    if (refusal !== null) {
      await removeFailed(created.id, options, refusal)
      throw refusal
    }
    const instance = await inspectStarted(created.id, options.engine)
    if (instance.image !== spec.image) {
      throw new SlipwayError('start_failed', 'The engine started another image than the one that was built.')
    }
    return instance
  } catch (error) {
    const told = explain(error, spec)
    // An engine that does not answer may have started it: then it stays, and the next attempt finds it by name.
    if (!isAway(error)) await removeFailed(created.id, options, told)
    throw told
  }
}

/**
 * Who breaks a start off does not stop the engine, which may start it a moment later: only when it is gone nothing of it starts any
 * more.
 */
async function startOrRemove(id: string, options: StartOptions): Promise<void> {
  try {
    await startExisting(id, options)
  } catch (error) {
    if (options.signal.aborted) await removeFailed(id, options, error)
    throw error
  }
}

/** Why it failed is what is told, in any case; what cannot be removed now is found by its labels later. */
async function removeFailed(id: string, { engine, plan, logger }: StartOptions, reason: unknown): Promise<void> {
  try {
    await removeOwn(engine, plan.installation, id)
  } catch (error) {
    logger.warn('a container that failed to start could not be removed', { containerId: id, error, reason })
  }
}

async function createOrFind(
  spec: ContainerSpec,
  options: StartOptions,
): Promise<{ id: string; found: Instance | null }> {
  for (let attempt = 1; ; attempt++) {
    try {
      return { id: await create(spec, options), found: null }
    } catch (error) {
      if (!(error instanceof SlipwayError) || error.code !== 'conflict') throw explain(error, spec)
      const found = await adopt(spec, options)
      if (found !== null) return { id: found.containerId, found }
      // The name is taken a moment before the container can be seen, and a moment longer when it goes.
      if (attempt === nameAttempts) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

async function create(spec: ContainerSpec, { engine, plan, signal }: StartOptions): Promise<string> {
  const image = await readImage(engine, spec.image)
  const init = spec.argv !== undefined || wantsInit(image.entrypoint, image.command)
  const request = containerRequest(spec, { ...plan, init }) as unknown as Docker.ContainerCreateOptions
  const container = await engine.call('create container', (docker) => docker.createContainer({ ...request }), {
    timeoutMs,
    signal,
  })
  return container.id
}

/** The container of that name when it is this release's; null when there is none. */
async function adopt(spec: ContainerSpec, { engine, plan }: StartOptions): Promise<Instance | null> {
  const info = await inspectContainer(engine, spec.name)
  if (info === null) return null
  const found = asInstance(info)
  if (isSame(found, spec, plan.installation)) {
    if (found.state !== 'created' || found.labels[variables] === spec.labels[variables]) return found
    // A value was taken out of its release since it was made.
    await removeOwn(engine, plan.installation, found.containerId)
    return null
  }
  throw new SlipwayError(
    'conflict',
    `A container ${spec.name} that is not this release’s is on the host; it stays untouched.`,
    { hint: `Rename or remove it (docker rename ${spec.name} …), then deploy again.` },
  )
}

async function startExisting(id: string, { engine, signal }: StartOptions): Promise<void> {
  // Another call may have started it in this moment.
  await unlessDone(
    engine.call('start container', (docker) => docker.getContainer(id).start(), {
      timeoutMs,
      signal,
    }),
  )
}

async function inspectStarted(id: string, engine: Engine): Promise<Instance> {
  const info = await inspectContainer(engine, id)
  if (info === null) throw new SlipwayError('start_failed', 'The container was removed while it was started.')
  return asInstance(info)
}

function explain(error: unknown, spec: ContainerSpec): unknown {
  const reason = engineReason(error)
  if (reason === '') return error
  const known = explainStartFailure(reason, spec)
  if (known !== null) return known
  if (isNotFound(error)) return new SlipwayError('unavailable', reason, { cause: error })
  return new SlipwayError('start_failed', `The container cannot be started: ${reason}`, { cause: error })
}
