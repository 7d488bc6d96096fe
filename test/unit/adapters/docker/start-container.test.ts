import { describe, expect, it } from '@jest/globals'
import type { Engine } from '../../../../src/adapters/docker/engine.ts'
import { startContainer } from '../../../../src/adapters/docker/start-container.ts'
import { SlipwayError } from '../../../../src/kernel/errors.ts'
import { type Logger, silentLogger } from '../../../../src/kernel/logger.ts'

const image = `sha256:${'a'.repeat(64)}`
const spec = {
  name: 'slw-t-shop-v1-1',
  image,
  labels: {},
  env: {},
  address: null,
  limits: { memoryBytes: 64 * 1024 * 1024, cpus: 1, pids: 64 },
}

describe('a container that cannot be started', () => {
  it('and not be removed either: the first is what is told, the second is in the log', async () => {
    const answers: Record<string, () => unknown> = {
      'inspect image': () => ({ Id: image, Config: {} }),
      'create container': () => ({ id: 'c1' }),
      'start container': () => {
        throw new SlipwayError('start_failed', 'No room for its network.')
      },
      'inspect container': () => ({ Id: 'c1', Name: '/x', Config: { Labels: { 'slipway.installation': 't' } } }),
      'remove container': () => {
        throw new SlipwayError('timeout', 'The engine did not answer.')
      },
    }
    const call = async (what: string): Promise<unknown> => {
      const answer = answers[what]
      if (answer === undefined) throw new Error(`not expected: ${what}`)
      return answer()
    }
    const logged: object[] = []
    const logger: Logger = { ...silentLogger, warn: (_, fields) => void logged.push(fields ?? {}) }
    const plan = { installation: 't', network: 'n', hostCpus: 2 }
    const engine = { call } as unknown as Engine
    const started = startContainer(spec, { engine, plan, logger, signal: new AbortController().signal })
    await expect(started).rejects.toMatchObject({ message: 'No room for its network.' })
    expect(logged).toEqual([expect.objectContaining({ containerId: 'c1', error: expect.any(SlipwayError) })])
  })
})
