import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { countCommands, readLog, untilAllEnded, untilRetired } from '../support/crashes.ts'
import { listHoldings } from '../support/holdings.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { makeCli } from '../support/slipway-cli.ts'
import { visit } from '../support/visitor.ts'

/** How long the slow build takes, in seconds. Longer than a lease; by hand also with 180. */
const buildSeconds = Number(process.env['SLOW_BUILD_SECONDS'] ?? 34)

const phases = ['build', 'command', 'check'] as const
type Phase = (typeof phases)[number]

/** Three apps, each in another phase of its deploy when it happens to the server. */
describe('Slipway, with a deploy in each phase,', () => {
  let slipway: Slipway
  const clones = new Map<Phase, Clone>()
  let version = 1

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway({ SLIPWAY_BUILD_SLOTS: '3' })
    await slipway.start()
    for (const phase of phases) {
      const clone = await makeClone(slipway, phase)
      clones.set(phase, clone)
      await clone.write(page('v1'))
      expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    }
  })
  afterAll(async () => {
    for (const clone of clones.values()) await clone.remove()
    expect(await slipway.remove()).toEqual([])
  })

  const filesOf = (phase: Phase): Record<string, string> => {
    const pause = `echo begun ${version}; sleep ${phase === 'build' ? buildSeconds : 12}; echo over ${version}`
    const listen = `${phase === 'check' ? 'sleep 12; ' : ''}exec httpd -f -p $PORT -h /www`
    return page(`v${version}`, {
      Dockerfile: [
        'FROM slipway-test/busybox:1',
        'COPY www /www',
        ...(phase === 'build' ? [`RUN ${pause}`] : []),
        `CMD ["/bin/sh", "-c", "${listen}"]\n`,
      ].join('\n'),
      'slipway.yml': `drain: 3s\nstop: 1s\nrelease: ${phase === 'command' ? `[{ label: migrate, run: "${pause}" }]` : '[]'}\n`,
    })
  }
  const deployOf = async (phase: Phase): Promise<{ id: number; step: string | null; state: string }> => {
    const [row] = await slipway.sql<{ id: string; step: string | null; state: string }>(
      `select d.id, d.step, d.state from deploys d join environments e on e.id = d.environment_id join apps a on a.id = e.app_id
       where a.name = $1 order by d.id desc limit 1`,
      [phase],
    )
    return { id: Number(row?.id), step: row?.step ?? null, state: row?.state ?? '' }
  }
  const hasSaid = async (phase: Phase, text: string): Promise<boolean> =>
    (
      await slipway.sql('select 1 from deploy_log where deploy_id = $1 and text = $2', [
        (await deployOf(phase)).id,
        text,
      ])
    ).length > 0

  /** Brings all three to where they take their time. */
  async function beginAll(): Promise<void> {
    version += 1
    for (const phase of phases) {
      await clones.get(phase)?.write(filesOf(phase))
      await clones.get(phase)?.push('develop', '-o', 'nowait')
    }
    await waitFor('all to be in their phase', 120_000, async () => {
      if ((await deployOf('check')).step !== 'check') return false
      return (await hasSaid('build', `begun ${version}`)) && (await hasSaid('command', `begun ${version}`))
    })
  }

  /** All are live in the end, nobody's request failed, nothing ran twice or is left over. */
  async function expectAllWell(happens: () => Promise<void>): Promise<void> {
    const texts = [`v${version}`, `v${version + 1}`]
    const visitors = phases.map((phase) => visit(slipway.port, `test--${phase}.localhost`, texts))
    const countStarted = countCommands(slipway)
    await beginAll()
    await happens()
    await untilAllEnded(slipway, 120_000 + buildSeconds * 2_000)
    for (const phase of phases) {
      expect([phase, (await deployOf(phase)).state]).toEqual([phase, 'live'])
      expect((await slipway.get(`test--${phase}.localhost`)).body).toBe(`v${version}\n`)
    }
    for (const visitor of visitors) expect(await visitor.stop()).toEqual([])
    expect(await countStarted()).toBe(1)
    const output = await readLog(slipway, (await deployOf('command')).id)
    expect(output.filter(({ text }) => text === `over ${version}`)).toHaveLength(1)
    await untilRetired(slipway)
    const { containers, addresses, targets } = await listHoldings(slipway)
    expect([containers.length, addresses, targets.length]).toEqual([3, 3, 3])
  }

  const lastOfServer = (): Promise<{ kind: string; untold: string | null }[]> =>
    slipway.sql(
      `with last as (select id, kind, data from events where kind in ('server.started', 'server.stopped') order by id desc limit 2)
       select kind, data ->> 'untold' as untold from last order by id`,
    )

  it('frozen for longer than a lease, goes on with all of them', async () => {
    await expectAllWell(async () => {
      process.kill(slipway.pid(), 'SIGSTOP')
      await new Promise((done) => setTimeout(done, 32_000))
      process.kill(slipway.pid(), 'SIGCONT')
    })
  }, 900_000)

  it('told to stop, gives them back within seconds and tells readers to come back; the next one goes on', async () => {
    const cli = await makeCli()
    const env = { SLIPWAY_URL: slipway.controlUrl, SLIPWAY_TOKEN: slipway.token }
    await expectAllWell(async () => {
      const { id } = await deployOf('command')
      const following = cli.start(['deploys', 'log', String(id), '-f'], { env })
      await following.says(`begun ${version}`)
      expect(await slipway.stop('SIGTERM')).toBe(0)
      expect(await slipway.sql(`select distinct lease_owner from deploys where state = 'running'`)).toEqual([
        { lease_owner: null },
      ])
      await slipway.start()
      const followed = await following.result
      expect(followed.code).toBe(0)
      expect(followed.stdout.match(/status=live/g)).toHaveLength(1)
      expect(followed.stderr).toMatch(/Trying again/)
    })
    expect(await lastOfServer()).toEqual([
      { kind: 'server.stopped', untold: null },
      { kind: 'server.started', untold: 'false' },
    ])
    await cli.remove()
  }, 900_000)

  it('killed, goes on with all of them when it is started again', async () => {
    await expectAllWell(async () => {
      await slipway.stop('SIGKILL')
      await slipway.start()
    })
    expect((await lastOfServer()).at(-1)).toEqual({ kind: 'server.started', untold: 'true' })
  }, 900_000)
})
