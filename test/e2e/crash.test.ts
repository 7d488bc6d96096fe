import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { countCommands, newestDeploy, readLog, residentMb, untilAllEnded, untilRetired } from '../support/crashes.ts'
import { listHoldings, listPushRemains } from '../support/holdings.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway } from '../support/slipway.ts'
import { visit } from '../support/visitor.ts'

/** Slipway ends itself, as by kill -9, at each of the named points; what it was doing goes on in its next life. */
describe('Slipway killed at every point of a deploy', () => {
  let slipway: Slipway
  let clone: Clone

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway()
    await slipway.start()
    clone = await makeClone(slipway, 'shop')
    await clone.write(page('one'))
    expect((await clone.push('develop')).results).toMatchObject([{ release: 'v1', status: 'live' }])
  })

  afterAll(async () => {
    await clone.remove()
    expect(await slipway.remove()).toEqual([])
  })

  /** Starts it over and over, each time with the next point; resolves when it died at the last one. */
  async function dieAtAll(points: readonly string[]): Promise<void> {
    for (const point of points) {
      slipway.launch({ SLIPWAY_FAULT_POINT: point })
      const end = await slipway.ended()
      if (end !== 'SIGKILL') throw new Error(`it did not die at ${point} but ended with ${end}:\n${slipway.output()}`)
    }
  }

  async function restartToDieAt(point: string): Promise<void> {
    await slipway.stop()
    await slipway.start({ SLIPWAY_FAULT_POINT: point })
  }

  const points = [
    'deploy.build.begun',
    'build.running',
    'build.made',
    'deploy.build.done',
    'deploy.build.recorded',
    'deploy.command.begun',
    'deploy.command.done',
    'deploy.command.recorded',
    'deploy.release-commands.done',
    'deploy.release-commands.recorded',
    'deploy.start.before',
    'deploy.start.started',
    'deploy.start.done',
    'deploy.start.recorded',
    'deploy.check.begun',
    'deploy.check.done',
    'deploy.check.recorded',
    'deploy.swap.before',
    'deploy.swap.moved',
    'deploy.swap.done',
    'deploy.swap.recorded',
    'deploy.live',
    'retire.begun',
    'retire.removed',
    'retire.recorded',
  ]

  it('goes live after all of them, with one release command, no gap in its log and no failed request', async () => {
    const before = await listHoldings(slipway)
    const visitor = visit(slipway.port, 'test--shop.localhost', ['one', 'two'])
    await restartToDieAt('push.moved')
    const countStarted = countCommands(slipway)
    await clone.write({
      'www/index.html': 'two\n',
      'slipway.yml':
        'drain: 2s\nstop: 1s\nrelease: [{ label: migrate, run: "cat /proc/sys/kernel/random/uuid; sleep 0.3; echo migrated" }]\n',
    })
    const cut = await clone.push('develop')
    expect(cut.results).toEqual([])
    expect(await slipway.ended()).toBe('SIGKILL')
    await dieAtAll(points)
    await slipway.start()
    await untilAllEnded(slipway)
    await untilRetired(slipway)

    const deploy = await newestDeploy(slipway)
    expect(deploy.state).toBe('live')
    const log = await readLog(slipway, deploy.id)
    expect(log.at(-1)?.text).toBe(`slipway: deploy=${deploy.id} environment=test release=v2 status=live`)
    expect(log.filter(({ kind }) => kind === 'machine')).toHaveLength(1)
    expect(log.filter(({ text }) => text === 'migrated')).toHaveLength(1)
    expect(log.filter(({ text }) => /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(text))).toHaveLength(1)
    expect(log.filter(({ text }) => text.startsWith('Slipway was started again'))).toHaveLength(
      points.indexOf('deploy.live'),
    )
    expect(await countStarted()).toBe(1)

    expect(await visitor.stop()).toEqual([])
    expect(visitor.seen()['200 two']).toBeGreaterThan(0)
    expect((await slipway.get('v2--test--shop.localhost')).body).toBe('two\n')
    const after = await listHoldings(slipway)
    expect(after).toMatchObject({
      containers: [`slw-${slipway.installation}-test--shop-v2-1`],
      images: before.images * 2,
      addresses: 1,
      hosts: ['test--shop.localhost', 'v0--test--shop.localhost', 'v2--test--shop.localhost'],
    })
    expect(after.targets).toHaveLength(1)
    expect(await listPushRemains(slipway)).toEqual([])
  }, 180_000)

  it('fails after all of them when the release is broken, says why once, and what served serves', async () => {
    const before = await listHoldings(slipway)
    const visitor = visit(slipway.port, 'test--shop.localhost', ['two'])
    await restartToDieAt('deploy.check.begun')
    await clone.write({
      Dockerfile: 'FROM slipway-test/busybox:1\nCMD ["/bin/sh", "-c", "echo broken on purpose; exit 7"]\n',
    })
    await clone.push('develop')
    expect(await slipway.ended()).toBe('SIGKILL')
    await dieAtAll(['deploy.failed', 'deploy.failed.undone'])
    await slipway.start()
    await untilAllEnded(slipway)
    const deploy = await newestDeploy(slipway)
    const log = await readLog(slipway, deploy.id)
    expect(log.at(-1)?.text).toBe(`slipway: deploy=${deploy.id} environment=test release=v3 status=failed`)
    expect(log.filter(({ kind, text }) => kind === 'error' && text.includes('exit code 7'))).toHaveLength(1)
    expect(log.filter(({ text }) => text === 'test still serves v2, untouched.')).toHaveLength(1)
    expect(await visitor.stop()).toEqual([])
    expect(await listHoldings(slipway)).toMatchObject({ ...before, images: expect.any(Number) })
  })

  it('knows a push that it had noted but not taken in as lost, and takes it when it comes again', async () => {
    await restartToDieAt('push.noted')
    await clone.write(page('four'))
    const tip = await clone.git('ls-remote', 'slipway', 'refs/heads/develop')
    const cut = await clone.push('develop')
    expect(cut.code).not.toBe(0)
    expect(await slipway.ended()).toBe('SIGKILL')
    await slipway.start()
    expect(await slipway.sql('select state from pushes order by id desc limit 1')).toEqual([{ state: 'lost' }])
    expect(await clone.git('ls-remote', 'slipway', 'refs/heads/develop')).toEqual(tip)
    expect(await listPushRemains(slipway)).toEqual([])
    expect((await clone.push('develop')).results).toMatchObject([{ release: 'v4', status: 'live' }])
    expect((await slipway.get('test--shop.localhost')).body).toBe('four\n')
    expect(await residentMb(slipway)).toBeLessThan(150)
  })
})
