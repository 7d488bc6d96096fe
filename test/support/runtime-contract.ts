import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { SlipwayError } from '../../src/kernel/errors.ts'
import type { InstanceChange, InstanceSpec, Runtime } from '../../src/runtime/index.ts'

export interface RuntimeUnderTest {
  readonly runtime: Runtime
  /** A new name, address and release each time; the process stays up and logs nothing. */
  spec(fields?: Partial<InstanceSpec>): InstanceSpec
  addForeign(name: string): Promise<void>
  foreignIsUntouched(name: string): Promise<boolean>
  dispose(): Promise<void>
}

const live = new AbortController().signal
const shell = (command: string): string[] => ['/bin/sh', '-c', command]

/** What every Runtime promises; run on the fake and on the real one. */
export function describeRuntime(name: string, make: () => Promise<RuntimeUnderTest>): void {
  describe(`the Runtime contract: ${name}`, () => {
    let test: RuntimeUnderTest
    let runtime: Runtime
    beforeAll(async () => {
      test = await make()
      runtime = test.runtime
    })
    afterAll(async () => {
      await test.dispose()
    })

    it('starts an instance at its address and finds it again', async () => {
      const spec = test.spec()
      const started = await runtime.start(spec, live)
      expect(started).toMatchObject({ state: 'running', address: spec.address, image: spec.image, restarts: 0 })
      expect(started.labels).toMatchObject(spec.labels)
      expect(await runtime.inspect(started.containerId)).toEqual(started)
      expect((await runtime.list()).map(({ containerId }) => containerId)).toContain(started.containerId)
      const deploy = Number(spec.labels['slipway.deploy'])
      expect(await runtime.list({ deploy })).toEqual([started])
      expect(await runtime.list({ deploy: 12345 })).toEqual([])
      const seen = (await runtime.survey()).find(({ containerId }) => containerId === started.containerId)
      expect(seen).toEqual({
        containerId: started.containerId,
        name: started.name,
        labels: started.labels,
        state: 'running',
        // The engine lists whole seconds.
        createdAt: expect.any(Date),
      })
    })

    it('adopts what was started already, also when two start it at once', async () => {
      const spec = test.spec()
      const [one, two] = await Promise.all([runtime.start(spec, live), runtime.start(spec, live)])
      const three = await runtime.start(spec, live)
      expect(two.containerId).toBe(one.containerId)
      expect(three.containerId).toBe(one.containerId)
      expect((await runtime.inspect(one.containerId))?.state).toBe('running')
    })

    it('does not adopt another release’s container of the same name', async () => {
      const spec = test.spec()
      await runtime.start(spec, live)
      const other = { ...spec, labels: { ...spec.labels, 'slipway.release': '999' } }
      await expect(runtime.start(other, live)).rejects.toMatchObject({ code: 'conflict' })
    })

    it('leaves a foreign container of the same name alone', async () => {
      const spec = test.spec()
      await test.addForeign(spec.name)
      await expect(runtime.start(spec, live)).rejects.toMatchObject({ code: 'conflict' })
      expect(await test.foreignIsUntouched(spec.name)).toBe(true)
      expect((await runtime.list()).map((instance) => instance.name)).not.toContain(spec.name)
    })

    it('starts nothing that must not start any more when it comes to that, and leaves nothing', async () => {
      const spec = {
        ...test.spec(),
        startUnlessRefused: async () => new SlipwayError('unavailable', 'Not with these variables.'),
      }
      await expect(runtime.start(spec, live)).rejects.toMatchObject({ message: 'Not with these variables.' })
      const command = { ...spec, ...test.spec({ address: null }), argv: shell('exit 0') }
      const options = { onLine: () => {}, timeoutMs: 20_000, signal: live }
      await expect(runtime.run(command, options)).rejects.toMatchObject({ code: 'unavailable' })
      const names = (await runtime.list()).map((instance) => instance.name)
      expect(names).not.toContain(spec.name)
      expect(names).not.toContain(command.name)
      let state: string | undefined
      const startUnlessRefused = async (start: () => Promise<void>) => {
        await start()
        state = (await runtime.list()).find(({ name }) => name === spec.name)?.state
        return null
      }
      expect((await runtime.start({ ...spec, startUnlessRefused }, live)).state).toBe('running')
      // Whoever lets it start hears when it has.
      expect(state).toBe('running')
    })

    it('lets the engine bring an instance back, and not any more', async () => {
      const { containerId } = await runtime.start(test.spec(), live)
      const isKept = async (): Promise<boolean | undefined> => (await runtime.inspect(containerId))?.isKept
      expect(await isKept()).toBe(false)
      await runtime.keepRunning(containerId)
      expect(await isKept()).toBe(true)
      await runtime.letEnd(containerId)
      await runtime.letEnd(containerId)
      expect([await isKept(), (await runtime.inspect(containerId))?.state]).toEqual([false, 'running'])
      await runtime.remove(containerId)
      await runtime.letEnd(containerId)
    })

    it('refuses anything but a digest, and leaves nothing', async () => {
      const spec = test.spec({ image: 'busybox:latest' })
      await expect(runtime.start(spec, live)).rejects.toBeInstanceOf(SlipwayError)
      expect((await runtime.list()).map((instance) => instance.name)).not.toContain(spec.name)
    })

    it('refuses an address that is in use, and leaves nothing', async () => {
      const first = test.spec()
      await runtime.start(first, live)
      const second = test.spec({ address: first.address })
      await expect(runtime.start(second, live)).rejects.toMatchObject({ code: 'start_failed' })
      expect((await runtime.list()).map((instance) => instance.name)).not.toContain(second.name)
    })

    it('runs a command once: its output live, its exit code kept', async () => {
      const spec = { ...test.spec({ address: null }), argv: shell('echo one; echo two >&2; exit 7') }
      const lines: string[] = []
      const options = { onLine: (line: string) => lines.push(line), timeoutMs: 20_000, signal: live }
      expect(await runtime.run(spec, options)).toEqual({ exitCode: 7, outOfMemory: false })
      expect([...lines].sort()).toEqual(['one', 'two'])
      // Again after a crash: read, not run.
      lines.length = 0
      const again = { ...spec, argv: shell('echo ran twice; exit 0') }
      expect(await runtime.run(again, options)).toEqual({ exitCode: 7, outOfMemory: false })
      expect([...lines].sort()).toEqual(['one', 'two'])
    })

    it('ends a command when its time is over, or when it is cancelled', async () => {
      const spec = { ...test.spec({ address: null }), argv: shell('exec sleep 60') }
      const late = runtime.run(spec, { onLine: () => {}, timeoutMs: 300, signal: live })
      await expect(late).rejects.toMatchObject({ code: 'timeout' })
      const cancel = new AbortController()
      const other = { ...test.spec({ address: null }), argv: shell('exec sleep 60') }
      const cancelled = runtime.run(other, { onLine: () => {}, timeoutMs: 20_000, signal: cancel.signal })
      setTimeout(() => cancel.abort(new SlipwayError('cancelled', 'Not needed any more.')), 300)
      await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' })
      const states = (await runtime.list()).filter((i) => i.name === spec.name || i.name === other.name)
      expect(states.map(({ state }) => state)).not.toContain('running')
    })

    it('executes in an instance: output, exit code, time limit', async () => {
      const { containerId } = await runtime.start(test.spec(), live)
      const limits = { timeoutMs: 10_000, signal: live }
      expect(await runtime.exec(containerId, shell('echo hi; exit 3'), limits)).toEqual({ exitCode: 3, output: ['hi'] })
      const endless = runtime.exec(containerId, shell('exec sleep 60'), { timeoutMs: 300, signal: live })
      await expect(endless).rejects.toMatchObject({ code: 'timeout' })
    })

    it('stops and removes, as often as one likes', async () => {
      const { containerId } = await runtime.start(test.spec(), live)
      await runtime.stop(containerId, 1000)
      await runtime.stop(containerId, 1000)
      expect((await runtime.inspect(containerId))?.state).toBe('exited')
      expect((await runtime.survey()).find((seen) => seen.containerId === containerId)?.state).toBe('exited')
      await runtime.remove(containerId)
      await runtime.remove(containerId)
      await runtime.stop(containerId, 1000)
      expect(await runtime.inspect(containerId)).toBeNull()
    })

    it('tells of starts, ends and removals, after a first resync', async () => {
      const changes: InstanceChange[] = []
      const ended = new AbortController()
      runtime.watch((change) => changes.push(change), ended.signal)
      await until(() => changes.length > 0)
      const { containerId, labels } = await runtime.start(test.spec(), live)
      await runtime.stop(containerId, 1000)
      await runtime.remove(containerId)
      const mine = (): InstanceChange[] => changes.filter((change) => change.containerId === containerId)
      await until(() => mine().length === 3)
      ended.abort()
      expect(changes[0]?.kind).toBe('resync')
      expect(mine().map(({ kind }) => kind)).toEqual(['started', 'died', 'removed'])
      expect(mine()[0]?.labels['slipway.release']).toBe(labels['slipway.release'])
    })
  })
}

export async function until(isTrue: () => boolean, withinMs = 30_000): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!isTrue()) {
    if (performance.now() > deadline) throw new Error('it did not happen in time')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
