import { describe, expect, it } from '@jest/globals'
import type { Principal } from '../../../src/accounts/index.ts'
import type { Environments } from '../../../src/environments/index.ts'
import { makeOpenPushes, type OpenPushes } from '../../../src/git/open-pushes.ts'
import type { Repositories } from '../../../src/git/index.ts'
import { silentLogger } from '../../../src/kernel/logger.ts'

const ada: Principal = { name: 'ada', role: 'admin' }
const nobodyGone = new AbortController().signal

function makePushes(): { pushes: OpenPushes; steps: string[] } {
  const steps: string[] = []
  const pushes = makeOpenPushes({
    environments: { findApp: async () => ({ name: 'shop' }) } as unknown as Environments,
    repositories: {
      ensure: async () => void steps.push('push begins'),
      pathOf: () => '/nowhere',
    } as unknown as Repositories,
    meetHook: () => undefined,
    logger: silentLogger,
  })
  return { pushes, steps }
}

/** Work that ends only when it is told to, and a while later. */
function untilTold(steps: string[]): (signal: AbortSignal) => Promise<void> {
  return (signal) =>
    new Promise((_, reject) => {
      steps.push('work begins')
      signal.addEventListener('abort', () =>
        setTimeout(() => {
          steps.push('work has ended')
          reject(signal.reason as Error)
        }, 20),
      )
    })
}

describe('work on a repository to which nobody pushes', () => {
  it('is ended by a push, which waits for that', async () => {
    const { pushes, steps } = makePushes()
    const working = pushes.whileIdle('shop', untilTold(steps)).catch((error: Error) => error.message)
    const push = await pushes.open(ada, 'shop', nobodyGone)
    expect(await working).toBe('Somebody pushes.')
    expect(steps).toEqual(['work begins', 'work has ended', 'push begins'])
    await push.close()
  })

  it('is not begun while somebody pushes, up to the last step of a push that was taken', async () => {
    const { pushes } = makePushes()
    const tidy = (): Promise<boolean> => pushes.whileIdle('shop', async () => undefined)
    const push = await pushes.open(ada, 'shop', nobodyGone)
    expect(await tidy()).toBe(false)
    push.take()
    await push.close()
    expect(await tidy()).toBe(false)
    await pushes.settle(push)
    expect(await tidy()).toBe(true)
  })

  it('is done once at a time, and other repositories do not matter', async () => {
    const { pushes, steps } = makePushes()
    const working = pushes.whileIdle('shop', untilTold(steps)).catch(() => 'ended')
    expect(await pushes.whileIdle('shop', async () => undefined)).toBe(false)
    expect(await pushes.whileIdle('blog', async () => undefined)).toBe(true)
    const push = await pushes.open(ada, 'blog', nobodyGone)
    expect(steps).not.toContain('work has ended')
    await push.close()
    await (await pushes.open(ada, 'shop', nobodyGone)).close()
    expect(await working).toBe('ended')
  })

  it('that failed keeps nobody from pushing', async () => {
    const { pushes } = makePushes()
    await expect(pushes.whileIdle('shop', () => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
    await (await pushes.open(ada, 'shop', nobodyGone)).close()
    expect(await pushes.whileIdle('shop', async () => undefined)).toBe(true)
  })
})
