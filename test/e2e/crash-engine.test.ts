import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { newestDeploy, readLog, residentMb, untilAllEnded } from '../support/crashes.ts'
import { makeOwnMachine, type OwnMachine } from '../support/own-machine.ts'
import { type Clone, makeClone, page, type Slipway, waitFor } from '../support/slipway.ts'
import { visit } from '../support/visitor.ts'

const run = promisify(execFile)

/** Slipway on an engine of the test's own, started with the flags that Slipway gives to one: it is killed, restarted and frozen. */
describe('an engine that', () => {
  let machine: OwnMachine
  let slipway: Slipway
  let clone: Clone

  beforeAll(async () => {
    machine = await makeOwnMachine()
    slipway = machine.slipway
    await slipway.start()
    clone = await makeClone(slipway, 'shop')
    await clone.write(page('one'))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
  })

  afterAll(async () => {
    await clone.remove()
    expect(await machine.remove()).toEqual([])
  })

  const visitAll = () => Array.from({ length: 4 }, () => visit(slipway.port, 'test--shop.localhost', ['one', 'two']))
  const untilStep = (step: string): Promise<void> =>
    waitFor(`the step ${step}`, 30_000, async () => (await newestDeploy(slipway)).step === step)

  const listOutages = async (): Promise<number[]> =>
    (
      await slipway.sql<{ seconds: number }>(
        `select (data ->> 'seconds')::int as seconds from events where kind = 'server.engine-back'`,
      )
    ).map(({ seconds }) => seconds)

  /** To which build each container and image of a build belongs. */
  const listBuilds = async (): Promise<string[]> => {
    const of = [
      '--filter',
      `label=slipway.installation=${slipway.installation}`,
      '--filter',
      'label=slipway.kind=build',
    ]
    const engine = ['-H', `unix://${machine.engine.socketPath}`]
    const [containers, images] = await Promise.all([
      run('docker', [...engine, 'ps', '-a', ...of, '--format', '{{.Label "slipway.build"}}']),
      run('docker', [...engine, 'images', '-aq', '--no-trunc', ...of]),
    ])
    const ids = images.stdout.split('\n').filter((id) => id !== '')
    const labels = await run('docker', [
      ...engine,
      'image',
      'inspect',
      '-f',
      '{{index .Config.Labels "slipway.build"}}',
      ...ids,
    ])
    return (containers.stdout + labels.stdout).split('\n').filter((id) => id !== '')
  }

  it('is killed twice under load takes no site down: 0 requests fail, and deploys go on', async () => {
    const visitors = visitAll()
    for (let kill = 0; kill < 2; kill += 1) {
      await machine.engine.kill()
      // The second time longer than Slipway takes between two looks.
      await new Promise((done) => setTimeout(done, kill === 0 ? 500 : 5_000))
      await machine.engine.start()
      await new Promise((done) => setTimeout(done, 500))
    }
    await clone.write({ 'www/index.html': 'two\n' })
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    const bad = await Promise.all(visitors.map((visitor) => visitor.stop()))
    expect(bad.flat()).toEqual([])
    const seen = visitors.flatMap((visitor) => Object.values(visitor.seen())).reduce((sum, n) => sum + n, 0)
    expect(seen).toBeGreaterThan(50)
    await waitFor('the outage to be told', 60_000, async () => (await listOutages()).length > 0)
    for (const seconds of await listOutages()) expect(seconds).toBeGreaterThan(0)
  })

  it('is killed in the middle of a build: that deploy says so, and the next goes live', async () => {
    const visitor = visit(slipway.port, 'test--shop.localhost', ['one', 'two', 'three'])
    await clone.write(
      page('three', {
        Dockerfile: `${page('')['Dockerfile']}RUN echo begun; sleep 30\n`,
      }),
    )
    await clone.push('develop', '-o', 'nowait')
    await waitFor('the build to be in its middle', 30_000, async () => {
      const { id } = await newestDeploy(slipway)
      return (await readLog(slipway, id)).some(({ text }) => text === 'begun')
    })
    await machine.engine.kill()
    await machine.engine.start()
    await untilAllEnded(slipway)
    const deploy = await newestDeploy(slipway)
    expect(deploy.state).toBe('failed')
    expect((await readLog(slipway, deploy.id)).map(({ text }) => text).join('\n')).toMatch(/Docker engine/)
    await clone.write(page('three'))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    expect(await visitor.stop()).toEqual([])
    await waitFor('what the build left to go', 30_000, () =>
      listBuilds().then(
        (builds) => builds.every((id) => id !== String(deploy.buildId)),
        // One of them has gone since they were listed.
        () => false,
      ),
    )
  })

  it('is frozen for a moment during a build is waited for', async () => {
    await clone.write(page('four', { Dockerfile: `${page('')['Dockerfile']}RUN sleep 3\n` }))
    await clone.push('develop', '-o', 'nowait')
    await untilStep('build')
    machine.engine.freeze()
    await new Promise((done) => setTimeout(done, 4_000))
    machine.engine.thaw()
    await untilAllEnded(slipway)
    expect((await newestDeploy(slipway)).state).toBe('live')
  })

  it('stays frozen during the checks fails the deploy with a clear message, and what it started goes after the thaw', async () => {
    const visitor = visit(slipway.port, 'test--shop.localhost', ['four'])
    await clone.write(
      page('five', {
        Dockerfile:
          'FROM slipway-test/busybox:1\nCOPY www /www\nCMD ["/bin/sh", "-c", "sleep 20; exec httpd -f -p $PORT -h /www"]\n',
      }),
    )
    await clone.push('develop', '-o', 'nowait')
    await untilStep('check')
    machine.engine.freeze()
    try {
      await untilAllEnded(slipway)
      const deploy = await newestDeploy(slipway)
      expect(deploy.state).toBe('failed')
      expect((await readLog(slipway, deploy.id)).map(({ text }) => text).join('\n')).toMatch(
        /The Docker engine \(.*\) did not answer within/,
      )
    } finally {
      machine.engine.thaw()
    }
    await waitFor('what it had started to go', 30_000, async () => {
      const left = await slipway.sql(`select 1 from instances where state = 'starting'`)
      return left.length === 0
    })
    expect(await visitor.stop()).toEqual([])
    expect(await residentMb(slipway)).toBeLessThan(150)
  })
})
