import { type AppConfig, processesOf } from '../builds/index.ts'
import type { Queryable } from '../postgres/database.ts'
import { countInstances } from './plan-instances.ts'
import { readScale } from './scale-store.ts'

export interface ProcessCount {
  readonly process: string
  readonly instances: number
}

/** How many instances a deploy of this configuration starts. */
export async function wantedProcesses(
  q: Queryable,
  { id, live }: { readonly id: number; readonly live: boolean },
  config: AppConfig,
): Promise<ProcessCount[]> {
  const scale = await readScale(q, id)
  return processesOf(config).map((process) => ({
    process: process.name,
    instances: countInstances(process, { live, scale }),
  }))
}
