import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { withTimeout } from '../../../src/kernel/timeout.ts'

const never = (): Promise<never> => new Promise(() => undefined)
const limit = { ms: 200, what: 'The engine' }

describe('a time limit', () => {
  it('ends what does not answer, and tells who did not', async () => {
    const signals: AbortSignal[] = []
    const asked = withTimeout(limit, (signal) => (signals.push(signal), never()))
    await expect(asked).rejects.toMatchObject({ code: 'timeout', message: 'The engine did not answer within 0.2 s.' })
    expect(signals[0]?.aborted).toBe(true)
  })

  it('ends with the signal of who asks', async () => {
    const over = new AbortController()
    const asked = withTimeout({ ...limit, signal: over.signal }, never)
    over.abort(new Error('enough'))
    await expect(asked).rejects.toThrow('enough')
  })

  it.each([
    ['lets go on what could not', `for (let i = 0; i < 5; i += 1) await stat('/')`, 'done'],
    [
      'and still ends what does not answer',
      'await new Promise(() => undefined)',
      'The engine did not answer within 0.5 s.',
    ],
  ])('blames nobody for the time in which its own process was frozen: %s', async (_, work, told) => {
    const file = pathToFileURL(resolve(__dirname, '../../../src/kernel/timeout.ts')).href
    const script = `import { withTimeout } from '${file}'
      import { stat } from 'node:fs/promises'
      const asked = withTimeout({ ms: 500, what: 'The engine' }, async () => { ${work} })
      console.log('asked')
      process.kill(process.pid, 'SIGSTOP')
      await asked.then(() => console.log('done'), ({ message }) => console.log(message))
      process.exit()`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
    const ended = once(child, 'close')
    await once(child.stdout, 'data')
    await delay(2_000)
    child.kill('SIGCONT')
    await ended
    expect(said).toBe(`asked\n${told}\n`)
  })
})
