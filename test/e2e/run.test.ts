import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { type Cli, type CliResult, makeCli, slipwayFile, watch } from '../support/slipway-cli.ts'
import { type Clone, makeClone, makeSlipway, type Slipway } from '../support/slipway.ts'

const execute = promisify(execFile)

/** Commands beside the instances of an environment, by the real command line through the real proxy. */
describe('slipway run', () => {
  let slipway: Slipway
  let shop: Clone
  let cli: Cli

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway({ SLIPWAY_RUNS_PER_ENVIRONMENT: '2' })
    await slipway.start()
    cli = await makeCli()
    shop = await makeClone(slipway, 'shop')
    await slipway.api('POST', '/apps', { name: 'shop' })
    await slipway.api('PATCH', '/apps/shop/environments/test/vars', { set: [{ name: 'COLOUR', value: 'blue' }] })
    await shop.write({
      Dockerfile: [
        'FROM slipway-test/busybox:1',
        'RUN mkdir /www && echo ok > /www/index.html',
        'ENTRYPOINT ["httpd", "-f", "-h", "/www"]',
        'CMD ["-p", "8080"]',
        '',
      ].join('\n'),
      'slipway.yml': 'port: 8080\ndrain: 0s\nstop: 0s\n',
    })
    expect((await shop.push('develop')).output).toContain('status=live')
  })

  afterAll(async () => {
    await cli.remove()
    await shop.remove()
    expect(await slipway.remove()).toEqual([])
  })

  const env = (): Record<string, string> => ({ SLIPWAY_URL: slipway.controlUrl, SLIPWAY_TOKEN: slipway.token })
  const run = (args: readonly string[], input = ''): Promise<CliResult> =>
    cli.run(['run', '-a', 'shop', ...args], { env: env(), input })
  const start = (args: readonly string[], program = [process.execPath, slipwayFile]): ChildProcess =>
    spawn(program[0] as string, [...program.slice(1), 'run', '-a', 'shop', ...args], {
      env: { PATH: process.env['PATH'], HOME: cli.home, TERM: 'xterm-256color', ...env() },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
  const listRuns = async (): Promise<number> => {
    const labels = [`installation=${slipway.installation}`, 'kind=run']
    const filters = labels.flatMap((label) => ['--filter', `label=slipway.${label}`])
    const { stdout } = await execute('docker', ['ps', '-aq', ...filters])
    return stdout.split('\n').filter((id) => id !== '').length
  }
  const noneIsLeft = async (ms: number): Promise<void> => {
    const end = performance.now() + ms
    while ((await listRuns()) > 0) {
      if (performance.now() > end) throw new Error(`a run’s container is there after ${ms} ms`)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  it('keeps outputs apart, gives the command its variables and its words as they are, and ends with its code', async () => {
    const script = 'echo "$STAGE $SLIPWAY_RELEASE $COLOUR $1"; echo wrong >&2; exit 7'
    const told = await run(['--', 'sh', '-c', script, 'x', '$HOME *'])
    expect(told).toEqual({ code: 7, stdout: 'test v1 blue $HOME *\n', stderr: 'wrong\n' })
    await noneIsLeft(5_000)
    const events = await slipway.sql<{ kind: string; data: object; actor: string; origin: string }>(
      `select kind, data, actor, origin from events where kind like 'run.%' order by id`,
    )
    const who = { actor: 'admin', origin: expect.stringMatching(/^cli /) }
    expect(events).toEqual([
      { kind: 'run.started', data: { run: expect.any(String), command: 'sh' }, ...who },
      { kind: 'run.ended', data: expect.objectContaining({ command: 'sh', exitCode: 7 }), ...who },
    ])
  })

  it('says why a command did not run, with 125, and that it is not in the image, with 127', async () => {
    expect(await run(['live', '--', 'true'])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('Nothing is live in live yet'),
    })
    expect(await run(['nowhere', '--', 'true'])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('no environment'),
    })
    expect(await run(['--', 'nonsense'])).toMatchObject({
      code: 127,
      stderr: expect.stringContaining('“nonsense” must be in the image'),
    })
    expect(await run(['--', '/www'])).toMatchObject({ code: 126 })
    expect(await run(['true'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('slipway run [ENV] -- COMMAND'),
    })
    expect(await run(['--', 'sh', '-c', 'kill -9 $$'])).toMatchObject({ code: 137 })
  })

  it('streams a hundred megabytes through a command, byte for byte, within bounded memory', async () => {
    const child = start(['--', 'cat'])
    const chunk = randomBytes(1024 * 1024)
    const [sent, came] = [createHash('sha256'), createHash('sha256')]
    let size = 0
    child.stdout?.on('data', (content: Buffer) => {
      size += content.length
      came.update(content)
    })
    const ended = new Promise((done) => child.on('close', done))
    for (let i = 0; i < 100; i++) {
      sent.update(chunk)
      if (child.stdin?.write(chunk) === false) await new Promise((done) => child.stdin?.once('drain', done))
    }
    child.stdin?.end()
    expect(await ended).toBe(0)
    expect(size).toBe(100 * 1024 * 1024)
    expect(came.digest('hex')).toBe(sent.digest('hex'))
  })

  it('passes Ctrl-C on, and gives a command a terminal of the size of this one', async () => {
    const trapping = 'trap "echo caught; exit 3" INT; echo ready; while :; do sleep 0.1; done'
    const plain = watch(start(['--', 'sh', '-c', trapping]), null)
    await plain.says('ready')
    plain.child.kill('SIGINT')
    expect(await plain.result).toMatchObject({ code: 3, stdout: 'ready\ncaught\n' })

    const line = [
      process.execPath,
      slipwayFile,
      'run',
      '-a',
      'shop',
      '--',
      'sh',
      '-c',
      `sleep 1; stty size; echo $TERM; ${trapping}`,
    ]
    const quoted = line.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
    const child = spawn('script', ['-qec', `stty cols 91 rows 33; ${quoted}`, '/dev/null'], {
      env: { PATH: process.env['PATH'], HOME: cli.home, TERM: 'xterm-256color', ...env() },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    const terminal = watch(child, null)
    await terminal.says('ready')
    expect(terminal.stdout().replaceAll('\r', '')).toContain('33 91\nxterm-256color\nready')
    child.stdin.write('\u0003')
    expect(await terminal.result).toMatchObject({ code: 3, stdout: expect.stringContaining('caught') })
  })

  it('ends with whoever ran it, refuses one too many, and lets deploys pass', async () => {
    // A run keeps its place until its container is gone, which is after its client has ended.
    await noneIsLeft(30_000)
    const sleeping = 'echo ready; exec sleep 1000'
    const both = [watch(start(['--', 'sh', '-c', sleeping]), null), watch(start(['--', 'sh', '-c', sleeping]), null)]
    for (const one of both) await one.says('ready')
    expect(await run(['--', 'true'])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('SLIPWAY_RUNS_PER_ENVIRONMENT'),
    })
    expect((await shop.push('develop')).output).toContain('status=live')
    expect(await listRuns()).toBe(2)
    for (const { child } of both) child.kill('SIGKILL')
    await noneIsLeft(12_000)
  })

  it('ends with its environment, and says so', async () => {
    await slipway.api('POST', '/apps/shop/environments', { name: 'qa', from: 'test' })
    expect((await shop.push('qa', '-o', 'env=qa')).output).toContain('status=live')
    const stubborn = watch(start(['qa', '--', 'sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 1; done']), null)
    await stubborn.says('ready')
    expect((await slipway.api('DELETE', '/apps/shop/environments/qa')).status).toBeLessThan(300)
    expect(await stubborn.result).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('Its environment was removed'),
    })
    await noneIsLeft(15_000)
    const ends = await slipway.sql(`select 1 from events where kind = 'run.ended' and environment = 'qa'`)
    expect(ends).toHaveLength(1)
  })

  it('ends with Slipway, and when Slipway is killed nothing of it is left after the next start', async () => {
    const stubborn = watch(start(['--', 'sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 1; done']), null)
    await stubborn.says('ready')
    await slipway.stop('SIGKILL')
    expect(await stubborn.result).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('connection to the server was lost'),
    })
    expect(await listRuns()).toBe(1)
    await slipway.start()
    await noneIsLeft(5_000)
    const ends = await slipway.sql<{ data: object; actor: string }>(
      `select data, actor from events where kind = 'run.ended' order by id desc limit 1`,
    )
    expect(ends).toEqual([{ data: { run: expect.any(String), command: 'sh' }, actor: 'slipway' }])
    const [open] = await slipway.sql<{ count: string }>(
      `select count(*) filter (where kind = 'run.started') - count(*) filter (where kind = 'run.ended') as count from events`,
    )
    expect(open?.count).toBe('0')

    const orderly = watch(start(['--', 'sh', '-c', 'echo ready; exec sleep 1000']), null)
    await orderly.says('ready')
    await slipway.stop('SIGTERM')
    expect(await orderly.result).toMatchObject({ code: 125, stderr: expect.stringContaining('Slipway was stopped') })
    expect(await listRuns()).toBe(0)
    await slipway.start()
  })
})
