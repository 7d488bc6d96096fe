import { SlipwayError } from '../../kernel/errors.ts'
import { listAwakeInstances } from '../instances.ts'
import { drainAndRetire } from '../retire.ts'
import type { StepContext } from '../steps/step.ts'
import { wantedMemory } from '../wanted-memory.ts'
import { putToSleep } from './lead-awake.ts'

/**
 * Throws `unavailable` when the host has too little memory for one more instance of a deploy. Releases that run for whoever asks at their
 * own addresses end before that: nobody keeps others from deploying by asking for old ones.
 */
export async function makeRoom(context: StepContext, memoryBytes: number): Promise<void> {
  const { tools, deploy, log } = context
  const assert = async (): Promise<void> => {
    await tools.memory?.assertForStart(wantedMemory(tools.db, deploy.environmentId, memoryBytes))
  }
  try {
    await assert()
  } catch (error) {
    if (!(error instanceof SlipwayError) || error.code !== 'unavailable') throw error
    const ended = await endAllAwake(context)
    if (ended === 0) throw error
    const what =
      ended === 1
        ? 'One old release that ran for its own address'
        : `${ended} old releases that ran for their own addresses`
    log.write('detail', `${what} ended: the server had too little memory for this besides`)
    await assert()
  }
}

/** How many did. */
async function endAllAwake({ tools, assertHeld, signal }: StepContext): Promise<number> {
  const ends = (await listAwakeInstances(tools.db)).map(async (instance) => {
    await assertHeld()
    if (!(await putToSleep(tools, instance))) return 0
    await drainAndRetire(tools, instance.deployId, signal)
    return 1
  })
  return (await Promise.all(ends)).reduce<number>((sum, one) => sum + one, 0)
}
