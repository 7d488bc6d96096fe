import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { renderLine } from '../../src/deploys/index.ts'
import { ensureBaseImage } from '../support/base-image.ts'
import { countCommands, newestDeploy, readLog, residentMb, untilAllEnded, untilRetired } from '../support/crashes.ts'
import { listHoldings, listPushRemains } from '../support/holdings.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { makeCli } from '../support/slipway-cli.ts'
import { visit } from '../support/visitor.ts'

/** Kills from outside while something takes its time, and Ctrl-C in the same places. */
describe('Slipway killed while', () => {
  let slipway: Slipway
  let clone: Clone
  let version = 1

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway()
    await slipway.start()
    clone = await makeClone(slipway, 'shop')
    await clone.write(page('v1'))
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
  })

  beforeEach(() => {
    version += 1
  })

  afterAll(async () => {
    await clone.remove()
    expect(await slipway.remove()).toEqual([])
  })

  const kill = async (): Promise<void> => {
    await slipway.stop('SIGKILL')
  }
  const untilStep = (step: string): Promise<void> =>
    waitFor(`the step ${step}`, 30_000, async () => {
      const deploy = await newestDeploy(slipway)
      return deploy.state === 'running' && deploy.step === step
    })
  const untilSaid = (text: string): Promise<void> =>
    waitFor(`“${text}” in the log`, 30_000, async () => {
      const rows = await slipway.sql('select 1 from deploy_log where deploy_id = $1 and text = $2', [
        (await newestDeploy(slipway)).id,
        text,
      ])
      return rows.length > 0
    })
  const expectClean = async (): Promise<void> => {
    await untilRetired(slipway)
    const { containers, addresses, targets } = await listHoldings(slipway)
    expect(containers).toHaveLength(1)
    expect([addresses, targets.length]).toEqual([1, 1])
    expect(await listPushRemains(slipway)).toEqual([])
  }
  /** A page whose build, release command or start takes its time. */
  const slow = (where: 'build' | 'command' | 'start', seconds = 3): Record<string, string> => {
    const body = `v${version}`
    const pause = `echo begun ${version}; sleep ${seconds}; echo over`
    const listen = `${where === 'start' ? `sleep ${seconds}; ` : ''}exec httpd -f -p $PORT -h /www`
    const build = where === 'build' ? `RUN ${pause}\n` : ''
    return page(body, {
      Dockerfile: `FROM slipway-test/busybox:1\nCOPY www /www\n${build}CMD ["/bin/sh", "-c", "${listen}"]\n`,
      'slipway.yml': `drain: 3s\nstop: 1s\n${where === 'command' ? `release: [{ label: migrate, run: "${pause}" }]\n` : ''}`,
    })
  }

  it('a pack arrives: the push is lost, nothing of it stays', async () => {
    const tip = (await clone.git('ls-remote', 'slipway', 'refs/heads/develop')).output.slice(0, 40)
    const before = await listHoldings(slipway)
    const socket = await sendHalfAPush(slipway, tip)
    await waitFor('git to take in the pack', 30_000, async () => (await listPushRemains(slipway)).length > 0)
    await kill()
    await slipway.start()
    socket.destroy()
    await waitFor('its objects to go', 30_000, async () => (await listPushRemains(slipway)).length === 0)
    expect((await clone.git('ls-remote', 'slipway', 'refs/heads/develop')).output.slice(0, 40)).toBe(tip)
    expect(await listHoldings(slipway)).toEqual(before)
  })

  it('one deploy builds and another waits: both go live, in their order', async () => {
    const visitor = visit(slipway.port, 'test--shop.localhost', ['v1', `v${version}`, 'later'])
    const images = (await listHoldings(slipway)).images
    await clone.write(slow('build', 6))
    await clone.push('develop', '-o', 'nowait')
    await untilSaid(`begun ${version}`)
    await clone.write({ 'www/index.html': 'later\n', ...{ Dockerfile: page('later')['Dockerfile'] as string } })
    await clone.push('develop', '-o', 'nowait')
    expect((await newestDeploy(slipway)).state).toBe('waiting')
    await kill()
    await slipway.start()
    await untilAllEnded(slipway)
    const states = await slipway.sql<{ state: string }>('select state from deploys order by id desc limit 2')
    expect(states).toEqual([{ state: 'live' }, { state: 'live' }])
    expect((await slipway.get('test--shop.localhost')).body).toBe('later\n')
    expect(await visitor.stop()).toEqual([])
    await expectClean()
    // What the build that was cut off had made is gone: its image has one layer more than the others.
    expect((await listHoldings(slipway)).images).toBe(images * 3 + 1)
  })

  it('a release command runs: it is taken up, not run again', async () => {
    await clone.write(slow('command'))
    const countStarted = countCommands(slipway)
    await clone.push('develop', '-o', 'nowait')
    await untilSaid(`begun ${version}`)
    await kill()
    await slipway.start()
    await untilAllEnded(slipway)
    const deploy = await newestDeploy(slipway)
    expect(deploy.state).toBe('live')
    const output = (await readLog(slipway, deploy.id)).filter(({ kind }) => kind === 'output')
    expect(output.filter(({ text }) => text === `begun ${version}` || text === 'over').map(({ text }) => text)).toEqual(
      [`begun ${version}`, 'over'],
    )
    expect(await countStarted()).toBe(1)
    await expectClean()
  })

  it('an instance is checked: the same instance is checked again and goes live', async () => {
    await clone.write(slow('start'))
    await clone.push('develop', '-o', 'nowait')
    await untilStep('check')
    const [instance] = await slipway.sql(`select container_id from instances where state = 'starting'`)
    await kill()
    await slipway.start()
    await untilAllEnded(slipway)
    expect((await newestDeploy(slipway)).state).toBe('live')
    expect(await slipway.sql(`select container_id from instances where state = 'serving'`)).toEqual([instance])
    await expectClean()
  })

  it('a release drains: its last request is answered, then it is retired', async () => {
    await clone.write(
      page(`v${version}`, {
        'www/cgi-bin/slow': '#!/bin/sh\nsleep 8\nprintf "Content-Type: text/plain\\r\\n\\r\\nto the end\\n"\n',
        Dockerfile:
          'FROM slipway-test/busybox:1\nCOPY www /www\nRUN chmod +x /www/cgi-bin/slow\nCMD ["/bin/sh", "-c", "exec httpd -f -p $PORT -h /www"]\n',
        'slipway.yml': 'drain: 30s\nstop: 1s\n',
      }),
    )
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    await untilRetired(slipway)
    const last = slipway.get('test--shop.localhost', '/cgi-bin/slow')
    await clone.write({ 'www/index.html': 'after\n' })
    expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    expect(await slipway.sql(`select 1 from instances where state = 'draining'`)).toHaveLength(1)
    await kill()
    expect(await last).toMatchObject({ status: 200, body: 'to the end\n' })
    await slipway.start()
    await expectClean()
    expect((await slipway.get('test--shop.localhost')).body).toBe('after\n')
  })

  it('a log is followed by the command line: it goes on where it was, without a gap or a line twice', async () => {
    await clone.write(slow('build'))
    await clone.push('develop', '-o', 'nowait')
    const { id } = await newestDeploy(slipway)
    const cli = await makeCli()
    const env = { SLIPWAY_URL: slipway.controlUrl, SLIPWAY_TOKEN: slipway.token }
    const following = cli.start(['deploys', 'log', String(id), '-f'], { env })
    await following.says(`begun ${version}`)
    await kill()
    await slipway.start()
    const followed = await following.result
    await cli.remove()
    const lines = (await readLog(slipway, id)).map((line) => renderLine(line as Parameters<typeof renderLine>[0]))
    expect(followed.stdout.trimEnd().split('\n')).toEqual(lines)
    expect(followed.stderr).toMatch(/Connection lost/)
    expect(followed.code).toBe(0)
    await expectClean()
  })

  it('Ctrl-C during a build: it ends in seconds and goes on with the next start', async () => {
    await clone.write(slow('build'))
    await clone.push('develop', '-o', 'nowait')
    await untilSaid(`begun ${version}`)
    const begun = Date.now()
    expect(await slipway.stop('SIGINT')).toBe(0)
    expect(Date.now() - begun).toBeLessThan(20_000)
    await waitFor('its farewell', 30_000, () => slipway.output().includes('Slipway has stopped. Sites go on serving'))
    await slipway.start()
    await untilAllEnded(slipway)
    expect((await newestDeploy(slipway)).state).toBe('live')
    expect((await slipway.get('test--shop.localhost')).body).toBe(`v${version}\n`)
    await expectClean()
  })

  it('Ctrl-C during a release command: it ends in seconds, and the command is taken up', async () => {
    await clone.write(slow('command'))
    const countStarted = countCommands(slipway)
    const pushing = clone.push('develop')
    await untilSaid(`begun ${version}`)
    const begun = Date.now()
    expect(await slipway.stop('SIGINT')).toBe(0)
    expect(Date.now() - begun).toBeLessThan(20_000)
    await pushing
    await slipway.start()
    await untilAllEnded(slipway)
    const deploy = await newestDeploy(slipway)
    expect(deploy.state).toBe('live')
    expect((await readLog(slipway, deploy.id)).filter(({ text }) => text === 'over')).toHaveLength(1)
    expect(await countStarted()).toBe(1)
    await expectClean()
    expect(await residentMb(slipway)).toBeLessThan(150)
  })
})

/** The beginning of a push whose pack stops half-way: git waits for the rest. */
async function sendHalfAPush(slipway: Slipway, tip: string): Promise<Socket> {
  const command = `${tip} ${'1'.repeat(40)} refs/heads/develop\0 report-status side-band-64k`
  const pkt = `${(command.length + 4).toString(16).padStart(4, '0')}${command}0000`
  // 200 objects are announced, so that git does not take them for few and unpack them one by one.
  const pack = Buffer.concat([Buffer.from('PACK'), Buffer.from([0, 0, 0, 2, 0, 0, 0, 200]), Buffer.alloc(64, 0x95)])
  const body = Buffer.concat([Buffer.from(pkt), pack])
  const socket = connect(slipway.port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write(
    [
      'POST /shop.git/git-receive-pack HTTP/1.1',
      `Host: slipway.localhost:${slipway.port}`,
      `Authorization: Basic ${Buffer.from(`ada:${slipway.token}`).toString('base64')}`,
      'Content-Type: application/x-git-receive-pack-request',
      `Content-Length: ${body.length + 1_000_000}`,
      '\r\n',
    ].join('\r\n'),
  )
  socket.write(body)
  await new Promise((done) => socket.once('connect', done))
  return socket
}
