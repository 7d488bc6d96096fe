import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { type Cli, type CliResult, makeCli } from '../support/slipway-cli.ts'

/** Each instance answers with its own name; workers say when they begin and when they are told to end. */
const app = page('unused', {
  Dockerfile: 'FROM slipway-test/busybox:1\nCOPY serve.sh work.sh /\nCMD ["/bin/sh", "/serve.sh"]\n',
  'serve.sh': 'mkdir -p /site; hostname >/site/index.html; exec httpd -f -p $PORT -h /site\n',
  'work.sh': 'echo begins; trap "echo told to end; exit 0" TERM\nwhile true; do sleep 0.1; done\n',
  'slipway.yml': 'drain: 1s\nprocesses:\n  worker: exec sh /work.sh\n',
})

describe('an app with several processes', () => {
  let slipway: Slipway
  let clone: Clone
  let cli: Cli
  const run = async (...args: string[]): Promise<CliResult> => {
    const result = await cli.run([...args, '-a', 'shop'], {
      env: { SLIPWAY_URL: slipway.controlUrl, SLIPWAY_TOKEN: slipway.token },
    })
    return result
  }
  const logs = async (): Promise<string> => (await run('logs', 'live', '-n', '500')).stdout

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway()
    await slipway.start()
    cli = await makeCli()
    clone = await makeClone(slipway, 'shop')
    await clone.write(app)
    expect(await clone.push('develop')).toMatchObject({ results: [{ status: 'live' }] })
    expect(await run('deploy', 'live')).toMatchObject({ code: 0 })
  })

  afterAll(async () => {
    await Promise.all([clone.remove(), cli.remove()])
    expect(await slipway.remove()).toEqual([])
  })

  it('is scaled at once while it is visited: no request fails, each of three gets its share, the workers change', async () => {
    await waitFor('the first worker', 30_000, async () => /v1 worker\.1 \| begins/.test(await logs()))
    const failed: number[] = []
    let over = false
    const visits = (async () => {
      while (!over) {
        const { status } = await slipway.get('shop.localhost')
        if (status !== 200) failed.push(status)
      }
    })()
    const scaled = await run('scale', 'live', 'web=3', 'worker=2', '--now')
    over = true
    await visits
    expect({ failed, ...scaled }).toMatchObject({ failed: [], code: 0 })
    expect(scaled.stdout).toContain('3 × web; after the swap 2 × worker')

    const counts = new Map<string, number>()
    for (let asked = 0; asked < 300; asked += 1) {
      const { body } = await slipway.get('shop.localhost')
      counts.set(body.trim(), (counts.get(body.trim()) ?? 0) + 1)
    }
    expect(counts.size).toBe(3)
    for (const count of counts.values()) expect(Math.abs(count - 100)).toBeLessThanOrEqual(20)

    await waitFor('both workers, and the end of the old one', 30_000, async () => {
      const told = await logs()
      return /worker\.2 \| begins/.test(told) && /worker\.1 \| told to end/.test(told)
    })
    const ofWorker = (await run('logs', 'live', '--process', 'worker.2')).stdout.trim().split('\n')
    expect(ofWorker.length).toBeGreaterThan(0)
    for (const line of ofWorker) expect(line).toMatch(/worker\.2/)
    const status = await run('status', 'live')
    expect(status.stdout).toMatch(/v1 web\.3 +running/)
    expect(status.stdout).toMatch(/v1 worker\.2 +running/)
    expect(status.stdout).toMatch(/Health +up/)
  })

  it('is restarted as the same release; what may not be is refused with the reason', async () => {
    const restarted = await run('restart', 'live')
    expect({ ...restarted }).toMatchObject({ code: 0 })
    expect(restarted.stdout).toMatch(/release=v1 status=live/)
    expect((await slipway.get('shop.localhost')).status).toBe(200)
    expect((await run('scale', 'live')).stdout).toMatch(/web +3 +3 .*\nworker +2 +2 /)
    const late = await run('scale', 'live', 'web=2', '--if-version', '1')
    expect({ code: late.code, said: late.stderr }).toMatchObject({
      code: 5,
      said: expect.stringContaining('meanwhile'),
    })
    const told = await run('scale', 'live', 'worker=1')
    expect(told.stderr).toMatch(/worker was to have 2: admin asked for that at 20/)
    expect((await run('scale', 'live', 'worker=2')).code).toBe(0)
    for (const [args, said] of [
      [['live', 'web=-1'], 'web can have 1 to 50 instances, not -1'],
      [['live', 'worker=10,000'], 'worker can have 0 to 50 instances, not 10000'],
      [['live', 'web=0'], 'web needs at least one instance'],
      [['test', 'web=2'], 'Only the live environment has more than one web'],
      [['live', 'wroker=1'], 'has no process “wroker”'],
    ] as const) {
      const refused = await run('scale', ...args)
      expect(refused.code).not.toBe(0)
      expect(refused.stderr).toContain(said)
    }
    expect((await run('scale', 'live')).stdout).toMatch(/web +3 +3 .*\nworker +2 +2 /)
  })
})
