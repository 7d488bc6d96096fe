import { beforeAll, describe, expect, it } from '@jest/globals'
import { listHoldings } from '../support/holdings.ts'
import { withOwnSlipway } from '../support/own-slipway.ts'
import { type Clone, page, type Slipway, waitFor } from '../support/slipway.ts'
import { type Cli } from '../support/slipway-cli.ts'

const config = `
cron:
  - { label: tick, schedule: "* * * * *", run: "echo tick of $STAGE" }
  - { label: report, schedule: "0 4 * * 1", timezone: Europe/Berlin, run: "echo one; sleep 1; echo two" }
  - { label: broken, schedule: "@yearly", run: "echo no such table; exit 4" }
  - { label: long, schedule: "@yearly", run: "echo begun; sleep 6; echo done" }
`

/** Jobs in real containers, by hand and by the clock. */
describe('cron', () => {
  let slipway: Slipway
  let shop: Clone
  let cli: Cli

  withOwnSlipway((own) => void ({ slipway, cli, shop } = own))
  beforeAll(async () => {
    await shop.write(page('one', { 'slipway.yml': config }))
    expect((await shop.push('develop')).results).toMatchObject([{ environment: 'test', status: 'live' }])
  })

  const run = (...args: string[]) =>
    cli.run([...args, '-a', 'shop'], { env: { SLIPWAY_URL: slipway.controlUrl, SLIPWAY_TOKEN: slipway.token } })
  const runsOf = (label: string) =>
    slipway.sql(`select state, requested_by from cron_runs where label = '${label}' order by id`)

  it('a job is run by hand: what it prints is followed and kept, and how it ends is the exit code', async () => {
    const good = await run('cron', 'run', 'report')
    expect([good.code, good.stdout]).toEqual([0, 'one\ntwo\n'])
    expect(good.stderr).toMatch(/report succeeded after [0-9.]+ s/)
    const bad = await run('cron', 'run', 'broken', 'test')
    expect([bad.code, bad.stdout]).toEqual([1, 'no such table\n'])
    expect(bad.stderr).toContain('It ended with exit code 4.')
    expect((await run('cron', 'run', 'nothing')).code).toBe(4)
    const { stdout: logs } = await run('logs', 'test')
    expect(logs).toMatch(/v1 cron\.report \| two\n/)
    expect(logs).toMatch(/v1 cron\.broken \| no such table\n/)
    const { stdout: listed } = await run('cron')
    expect(listed).toMatch(
      /^report +0 4 \* \* 1 \(Europe\/Berlin\) +[0-9-]{10} [0-9:]{5}Z +[0-9]+ s ago +succeeded after/m,
    )
    expect(listed).toMatch(/^broken .*failed after [0-9.]+ s: It ended with exit code 4\.$/m)
    const { stdout: failed } = await run('cron', 'runs', '--failed', '--since', '1h')
    expect(failed).toMatch(
      /^([0-9]+) +broken +[0-9-]{10} [0-9:]{5}Z +admin +failed after [0-9.]+ s: It ended with exit/m,
    )
    expect(failed).not.toContain('report')
    const shown = await run('cron', 'log', /^([0-9]+) +broken/m.exec(failed)?.[1] ?? '')
    expect([shown.code, shown.stdout]).toEqual([0, 'no such table\n'])
    expect((await run('activity')).stdout).toContain('the job broken failed: It ended with exit code 4.')
  })

  it('a job that runs while Slipway is killed goes on, ends once and leaves nothing', async () => {
    const asked = run('cron', 'run', 'long')
    await waitFor('it to run', 20_000, async () => (await run('logs', 'test')).stdout.includes('cron.long | begun'))
    await slipway.stop('SIGKILL')
    await slipway.start()
    const { code, stdout } = await asked
    expect([code, stdout]).toEqual([0, 'begun\ndone\n'])
    expect(await runsOf('long')).toEqual([{ state: 'succeeded', requested_by: 'admin' }])
    await waitFor('its container to go', 20_000, async () =>
      (await listHoldings(slipway)).containers.every((name) => !name.includes('cron')),
    )
  })

  it('a job is run by the clock', async () => {
    await waitFor('the minute', 80_000, async () =>
      (await run('logs', 'test')).stdout.includes('cron.tick | tick of test'),
    )
    // What it printed is kept before its end is recorded.
    const ended = { state: 'succeeded', requested_by: null }
    await waitFor('its end to be recorded', 20_000, async () =>
      (await runsOf('tick')).some((one) => JSON.stringify(one) === JSON.stringify(ended)),
    )
  })
})
