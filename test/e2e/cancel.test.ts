import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { newestDeploy, readLog, untilAllEnded, untilRetired } from '../support/crashes.ts'
import { listHoldings } from '../support/holdings.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { type Cli, type CliResult, makeCli } from '../support/slipway-cli.ts'

/** People who change their minds, in each phase of a deploy; and a server that was frozen in one. */
describe('a deploy that', () => {
  let slipway: Slipway
  let clone: Clone
  let cli: Cli

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway()
    await slipway.start()
    clone = await makeClone(slipway, 'shop')
    cli = await makeCli()
    await clone.write(page('v1'))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
  })
  beforeEach(() => clone.write(page('v1')))
  afterAll(async () => {
    await cli.remove()
    await clone.remove()
    expect(await slipway.remove()).toEqual([])
  })

  const slipwayCli = (...args: string[]): Promise<CliResult> =>
    cli.run(args, { env: { SLIPWAY_URL: slipway.controlUrl, SLIPWAY_TOKEN: slipway.token } })
  const untilSaid = (text: string): Promise<void> =>
    waitFor(`“${text}” in the log`, 60_000, async () => {
      const { id } = await newestDeploy(slipway)
      const found = await slipway.sql('select 1 from deploy_log where deploy_id = $1 and text = $2', [id, text])
      return found.length > 0
    })
  const untilStep = (step: string): Promise<void> =>
    waitFor(`the step ${step}`, 60_000, async () => {
      const deploy = await newestDeploy(slipway)
      return deploy.state === 'running' && deploy.step === step
    })
  /** The first version serves, and nothing of what was cancelled is there any more. */
  const expectUntouched = async (): Promise<void> => {
    expect((await slipway.get('test--shop.localhost')).body).toBe('v1\n')
    await untilRetired(slipway)
    const { containers, addresses, targets } = await listHoldings(slipway)
    expect([containers.length, addresses, targets.length]).toEqual([1, 1, 1])
  }

  it('builds is cancelled: its build ends within seconds, and its pusher is told by whom', async () => {
    await clone.write({ Dockerfile: 'FROM slipway-test/busybox:1\nRUN echo begun 1; sleep 300\n' })
    const pushing = clone.push('develop')
    await untilSaid('begun 1')
    const { id } = await newestDeploy(slipway)
    const begunMs = Date.now()
    const { code, stdout } = await slipwayCli('deploys', 'cancel', String(id))
    expect([code, stdout]).toEqual([0, expect.stringContaining(`Deploy ${id} is cancelled in its step build`)])
    await waitFor('its container to go', 30_000, async () => (await listHoldings(slipway)).containers.length === 1)
    // 3 s are promised; a machine that does ten other things takes longer.
    expect(Date.now() - begunMs).toBeLessThan(15_000)
    const { output, results } = await pushing
    expect(results).toMatchObject([{ status: 'cancelled' }])
    expect(output).toMatch(/Cancelled by admin\./)
    await expectUntouched()
  })

  it('runs its release commands is cancelled: SIGTERM for that one, and it is told which ran', async () => {
    await clone.write({
      'slipway.yml':
        'release:\n' +
        '  - { label: migrations, run: "true" }\n' +
        `  - { label: import, run: "trap 'echo told to stop; exit 3' TERM; echo begun 2; sleep 300 & wait" }\n` +
        '  - { label: never, run: "echo never" }\n',
    })
    const pushing = clone.push('develop')
    await untilSaid('begun 2')
    const { id } = await newestDeploy(slipway)
    expect((await slipwayCli('deploys', 'cancel', String(id))).code).toBe(0)
    const { output } = await pushing
    expect(output).toContain('told to stop')
    expect(output).toMatch(
      /Cancelled by admin\. Of its release commands “migrations” ran to its end, “import” was told to stop \(its output says how far it came\)\./,
    )
    expect((await readLog(slipway, id)).map(({ text }) => text)).not.toContain('never')
    await expectUntouched()
  })

  it('is checked is cancelled: the new instance goes', async () => {
    await clone.write({ Dockerfile: 'FROM slipway-test/busybox:1\nCMD ["/bin/sh", "-c", "exec sleep 300"]\n' })
    const pushing = clone.push('develop')
    await untilStep('check')
    await slipwayCli('deploys', 'cancel', String((await newestDeploy(slipway)).id))
    expect((await pushing).results).toMatchObject([{ status: 'cancelled' }])
    await expectUntouched()
  })

  it('is live is not cancelled, and says how to go back', async () => {
    const { id } = (await slipway.sql<{ id: string }>(`select max(id) as id from deploys where state = 'live'`))[0] as {
      id: string
    }
    const { code, stderr } = await slipwayCli('deploys', 'cancel', id)
    expect(code).toBe(5)
    expect(stderr).toMatch(/is live already/)
    expect(stderr).toMatch(/slipway rollback/)
  })

  it('a newer push replaces while it builds, where the environment says so', async () => {
    await slipwayCli('envs', 'set', 'test', '--supersede', 'running', '-a', 'shop')
    await clone.write({ Dockerfile: 'FROM slipway-test/busybox:1\nRUN echo begun 5; sleep 300\n' })
    const first = clone.push('develop')
    await untilSaid('begun 5')
    const { id } = await newestDeploy(slipway)
    await clone.write(page('newer'))
    const second = await clone.push('develop')
    expect(second.output).toContain(`takes the place of deploy ${id}`)
    expect(second.results).toMatchObject([{ status: 'live' }])
    const { output, results } = await first
    expect(results).toMatchObject([{ status: 'superseded' }])
    expect(output).toMatch(/A newer push took the place of this one: deploy \d+ \([0-9a-f]{10}\)/)
    expect((await slipway.get('test--shop.localhost')).body).toBe('newer\n')
    await clone.write(page('v1'))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
  })

  it('is checked while the server is frozen and another takes it: the server, awake again, swaps nothing', async () => {
    await clone.write(page('v2', { 'www/index.html': 'v2\n' }))
    await clone.write({
      Dockerfile:
        'FROM slipway-test/busybox:1\nCOPY www /www\nCMD ["/bin/sh", "-c", "sleep 5; exec httpd -f -p $PORT -h /www"]\n',
    })
    await clone.push('develop', '-o', 'nowait')
    await untilStep('check')
    const { id } = await newestDeploy(slipway)
    process.kill(slipway.pid(), 'SIGSTOP')
    await slipway.sql(
      `update deploys set lease_owner = 'another', lease_until = now() + interval '1 hour' where id = $1`,
      [id],
    )
    // Longer than half a lease, and than the instance takes to listen.
    await new Promise((done) => setTimeout(done, 16_000))
    process.kill(slipway.pid(), 'SIGCONT')
    await new Promise((done) => setTimeout(done, 3_000))
    expect((await slipway.get('test--shop.localhost')).body).toBe('v1\n')
    expect(await slipway.sql('select state, lease_owner from deploys where id = $1', [id])).toEqual([
      { state: 'running', lease_owner: 'another' },
    ])
    await slipway.sql(`update deploys set lease_until = now() where id = $1`, [id])
    await untilAllEnded(slipway)
    expect((await newestDeploy(slipway)).state).toBe('live')
    expect((await slipway.get('test--shop.localhost')).body).toBe('v2\n')
    expect((await readLog(slipway, id)).filter(({ kind }) => kind === 'machine')).toHaveLength(1)
  }, 120_000)
})
