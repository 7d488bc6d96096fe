import type { Deploy } from '../deploy.ts'
import type { Tools } from './step.ts'

/**
 * How often the engine had brought an instance back before it was checked. Nobody brings a new one back; what was warm has served,
 * may have ended then, and is judged by what it is now.
 */
export async function countRestartsBefore(
  { id, instancesOf }: Pick<Deploy, 'id' | 'instancesOf'>,
  containerId: string,
  { runtime }: Pick<Tools, 'runtime'>,
): Promise<number> {
  if (instancesOf === id) return 0
  return (await runtime.inspect(containerId))?.restarts ?? 0
}
