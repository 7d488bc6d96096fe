import type { ProcessConfig } from '../builds/index.ts'

/** One instance to be. */
export interface Place {
  readonly process: string
  readonly position: number
}

/** How many instances of each process somebody asked for, and who. */
export type Scale = ReadonlyMap<string, Asked>

export interface Asked {
  readonly instances: number
  readonly by: string
  readonly at: Date
}

/**
 * How many instances a process has in an environment: what somebody asked for, else what slipway.yml says. Only the live
 * environment has more than one web: the others are for trying things out.
 */
export function countInstances(process: ProcessConfig, { live, scale }: { live: boolean; scale: Scale }): number {
  const wanted = scale.get(process.name)?.instances ?? process.instances
  if (process.name !== 'web') return wanted
  return live ? Math.max(1, wanted) : 1
}

/** The instances that a deploy starts, web first. */
export function planInstances(
  processes: readonly ProcessConfig[],
  environment: { live: boolean; scale: Scale },
): Place[] {
  return processes.flatMap((process) => {
    const count = countInstances(process, environment)
    return Array.from({ length: count }, (_, at) => ({ process: process.name, position: at + 1 }))
  })
}
