import { SlipwayError } from '../../kernel/errors.ts'
import { labelNames, type Instance, type SeenContainer } from '../../runtime/index.ts'
import { isNotFound, orNull, type Engine } from './engine.ts'
import type Docker from 'dockerode'

/** Containers as Slipway sees them: by label, never by name alone. */

export function asInstance(found: Docker.ContainerInspectInfo): Instance {
  const state = found.State
  // `IPAMConfig` is `any` in the types.
  const endpoints: { IPAMConfig?: { IPv4Address?: string } | null; IPAddress: string }[] = Object.values(
    found.NetworkSettings.Networks ?? {},
  )
  const running = state.Running && !state.Restarting
  return {
    containerId: found.Id,
    name: found.Name.replace(/^\//, ''),
    image: found.Image,
    labels: found.Config.Labels ?? {},
    address: endpoints.map((e) => e.IPAMConfig?.IPv4Address ?? e.IPAddress).find((address) => !!address) ?? null,
    state: state.Restarting ? 'restarting' : running ? 'running' : state.Status === 'created' ? 'created' : 'exited',
    restarts: found.RestartCount,
    isKept: !['', 'no'].includes(found.HostConfig.RestartPolicy?.Name ?? ''),
    exitCode: running || state.Status === 'created' ? null : state.ExitCode,
    outOfMemory: state.OOMKilled,
    createdAt: new Date(found.Created),
    startedAt: state.StartedAt.startsWith('0001-') ? null : new Date(state.StartedAt),
  }
}

/** The engine's whole answer, or null when there is no such container. */
export function inspectContainer(engine: Engine, idOrName: string): Promise<Docker.ContainerInspectInfo | null> {
  return orNull(engine.call('inspect container', (docker) => docker.getContainer(idOrName).inspect()))
}

/** The engine hears of the kernel's out-of-memory apart from the end, on a busy machine some tenths of a second later. */
const oomDelayMs = 1_000

/** The same, but one that was killed a moment ago is looked at again until it is known whether that was for memory. */
export async function inspectEnded(
  inspect: () => Promise<Docker.ContainerInspectInfo | null>,
): Promise<Docker.ContainerInspectInfo | null> {
  for (let waitedMs = 0; ; waitedMs += 50) {
    const found = await inspect()
    // Counted too: the clock may have been set back since.
    if (found === null || !mayBeOutOfMemory(found.State) || waitedMs >= oomDelayMs) return found
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function mayBeOutOfMemory(state: Docker.ContainerInspectInfo['State']): boolean {
  const killed = !state.Running && state.ExitCode === 137 && !state.OOMKilled
  return killed && Date.now() - Date.parse(state.FinishedAt) < oomDelayMs
}

/** The container when it is there and ours, null when it is gone; a foreign one is refused. */
export async function findOwn(
  engine: Engine,
  installation: string,
  containerId: string,
): Promise<Docker.ContainerInspectInfo | null> {
  const found = await inspectContainer(engine, containerId)
  if (found !== null && found.Config.Labels?.[labelNames.installation] !== installation) {
    throw new SlipwayError(
      'conflict',
      `The container ${found.Name.replace(/^\//, '')} is not Slipway’s; it stays untouched.`,
    )
  }
  return found
}

/** All of this installation as the engine lists them: one call, and no inspects. */
export async function surveyOwn(engine: Engine, installation: string): Promise<SeenContainer[]> {
  const filters = { label: [`${labelNames.installation}=${installation}`] }
  const found = await engine.call('list containers', (docker) => docker.listContainers({ all: true, filters }))
  return found.map(({ Id, Names, Labels, State, Created }) => ({
    containerId: Id,
    name: (Names[0] ?? Id).replace(/^\//, ''),
    labels: Labels,
    state: stateOf(State),
    createdAt: new Date(Created * 1000),
  }))
}

/** A paused one is not down: whoever paused it will let it go on. */
function stateOf(listed: string): SeenContainer['state'] {
  if (listed === 'running' || listed === 'paused') return 'running'
  return listed === 'restarting' || listed === 'created' ? listed : 'exited'
}

/** All of this installation, running or not. Those that vanish while we look are left out. */
export async function listOwn(
  engine: Engine,
  installation: string,
  { deploy, cronRun }: { readonly deploy?: number; readonly cronRun?: number } = {},
): Promise<Instance[]> {
  const which = [
    ...(deploy === undefined ? [] : [`${labelNames.deploy}=${deploy}`]),
    ...(cronRun === undefined ? [] : [`${labelNames.cronRun}=${cronRun}`]),
  ]
  const filters = { label: [`${labelNames.installation}=${installation}`, ...which] }
  const found = await engine.call('list containers', (docker) => docker.listContainers({ all: true, filters }))
  // The list lacks exit codes and restarts. Eight at once: an engine answers some hundred inspects a second.
  const instances: Instance[] = []
  for (let at = 0; at < found.length; at += 8) {
    const batch = found.slice(at, at + 8).map(({ Id }) => inspectContainer(engine, Id))
    for (const one of await Promise.all(batch)) {
      if (one !== null) instances.push(asInstance(one))
    }
  }
  return instances
}

/** SIGTERM (or the image's STOPSIGNAL), SIGKILL after the grace. Nothing to do when it is gone or has ended. */
export async function stopOwn(
  engine: Engine,
  installation: string,
  containerId: string,
  graceMs: number,
): Promise<void> {
  const found = await findOwn(engine, installation, containerId)
  // A container that waits for its next restart counts as not running, and must be stopped too.
  if (found === null || (!found.State.Running && !found.State.Restarting)) return
  const seconds = Math.ceil(graceMs / 1000)
  await ignoreGone(
    engine.call('stop container', (docker) => docker.getContainer(found.Id).stop({ t: seconds }), {
      timeoutMs: graceMs + 20_000,
    }),
  )
}

/** Removes it with its anonymous volumes, running or not. Returns when it is gone. */
export async function removeOwn(engine: Engine, installation: string, containerId: string): Promise<void> {
  const found = await findOwn(engine, installation, containerId)
  if (found === null) return
  try {
    await engine.call('remove container', (docker) => docker.getContainer(found.Id).remove({ force: true, v: true }), {
      timeoutMs: 60_000,
    })
  } catch (error) {
    if (isNotFound(error)) return
    // Another call removes it already.
    if (!(error instanceof SlipwayError) || error.code !== 'conflict') throw error
    for (let i = 0; i < 50 && (await inspectContainer(engine, found.Id)) !== null; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

/** For calls that are done when there is nothing to do: the engine answers 304, and dockerode throws. */
export async function unlessDone(call: Promise<unknown>): Promise<void> {
  try {
    await call
  } catch (error) {
    if (!isUnmodified(error)) throw error
  }
}

async function ignoreGone(call: Promise<unknown>): Promise<void> {
  try {
    await unlessDone(call)
  } catch (error) {
    if (!isNotFound(error)) throw error
  }
}

function isUnmodified(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error && 'statusCode' in cause && cause.statusCode === 304
}
