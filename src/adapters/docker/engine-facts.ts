import type { EngineFacts } from '../../doctor/index.ts'
import { orNull, type Engine } from './engine.ts'

interface Info {
  readonly DockerRootDir: string
  readonly LiveRestoreEnabled?: boolean
  readonly MemoryLimit?: boolean
  readonly CpuCfsQuota?: boolean
  readonly PidsLimit?: boolean
  readonly CgroupVersion?: string
  readonly CgroupDriver?: string
  readonly Swarm?: { readonly LocalNodeState?: string }
}

/** What the engine says of itself, as far as Slipway depends on it. */
export async function readEngineFacts(engine: Engine): Promise<EngineFacts> {
  const [version, info, bridge] = await Promise.all([
    engine.call('version', (docker) => docker.version()),
    engine.call('info', (docker) => docker.info() as Promise<Info>),
    // An engine may run without the default bridge.
    orNull(engine.call('inspect network', (docker) => docker.getNetwork('bridge').inspect() as Promise<Bridge>)),
  ])
  const icc = bridge?.Options?.['com.docker.network.bridge.enable_icc']
  return {
    version: version.Version,
    apiVersion: version.ApiVersion,
    liveRestore: info.LiveRestoreEnabled === true,
    swarm: info.Swarm?.LocalNodeState === 'active',
    isolatesContainers: icc === 'false' || bridge === null,
    limits: { memory: info.MemoryLimit === true, cpu: info.CpuCfsQuota === true, pids: info.PidsLimit === true },
    cgroups: `${info.CgroupVersion ?? '1'} (${info.CgroupDriver ?? 'unknown'})`,
    dataRoot: info.DockerRootDir,
  }
}

interface Bridge {
  readonly Options?: Readonly<Record<string, string>> | null
}
