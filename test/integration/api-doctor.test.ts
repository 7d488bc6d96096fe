import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { httpCall } from '../support/http-call.ts'
import { type Cli, type CliResult, makeCli } from '../support/slipway-cli.ts'

let server: ApiServer
let cli: Cli
beforeAll(async () => {
  server = await startApiServer()
  cli = await makeCli()
})
afterAll(async () => {
  await server.remove()
  await cli.remove()
})

const doctor = (...args: string[]): Promise<CliResult> =>
  cli.run(['doctor', ...args], { env: { SLIPWAY_URL: server.url, SLIPWAY_TOKEN: server.token.reveal() } })

const well = { check: 'git', status: 'ok', what: 'git 2.39.5', why: 'Pushes are received by it.', mend: null } as const
const low = {
  check: 'disk',
  status: 'warn',
  what: '/data: little',
  why: 'Nothing is built.',
  mend: 'Make room.',
} as const
const difference = (n: number, failed: string | null = null) => {
  return { what: `v1.${n} of shop has no container`, why: 'It was removed.', then: 'It is started.', act: null, failed }
}

describe('slipway doctor', () => {
  it('says of each thing what, and where something is wrong also why and what to do', async () => {
    server.findings.splice(0, server.findings.length, well, low)
    const { code, stdout } = await doctor()
    expect(stdout).toBe(
      [
        'ok    git   git 2.39.5',
        'warn  disk  /data: little',
        '            Nothing is built.',
        '            → Make room.',
        '',
        'Everything runs as it should.',
        '',
      ].join('\n'),
    )
    expect(code).toBe(0)
  })

  it('ends with 1 when something fails, and gives it all as JSON', async () => {
    server.findings.splice(0, server.findings.length, { ...low, status: 'fail' })
    const { code, stdout } = await doctor('--json')
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toEqual({
      findings: [{ ...low, status: 'fail' }],
      differences: [],
      differenceCount: 0,
      unknown: null,
    })
  })

  it('lists what differs and changes nothing; with --fix it is mended', async () => {
    server.findings.splice(0, server.findings.length, well)
    server.deploys.differences.push(difference(1), difference(2))
    const first = await doctor()
    expect(first.stdout).toContain(
      '2 things differ from what should be:\n  v1.1 of shop has no container. It was removed. It is started.\n',
    )
    expect(server.deploys.differences).toHaveLength(2)
    const fixed = await doctor('--fix')
    expect(fixed.stdout).toContain('2 things differed:\n  v1.1 of shop has no container. It is started.\n')
    expect(fixed.stdout).toContain('Everything runs as it should.')
    expect(fixed.code).toBe(0)
    expect(server.deploys.differences).toEqual([])
  })

  it('tells what could not be mended', async () => {
    server.deploys.differences.push(difference(1, 'Its image is gone.'))
    const { code, stdout } = await doctor('--fix')
    expect(stdout).toContain(' !     v1.1 of shop has no container. It could not be mended: Its image is gone.')
    expect(code).toBe(1)
  })

  it('shows the first of very many', async () => {
    for (let n = 0; n < 1000; n += 1) server.deploys.differences.push(difference(n))
    const { stdout } = await doctor()
    expect(stdout).toContain('1000 things differ from what should be:')
    expect(stdout).toContain('… and 800 more')
    server.deploys.differences.splice(0)
  })

  it('wants a token, for looking and for mending', async () => {
    expect((await httpCall('GET', `${server.url}/api/v1/doctor`)).status).toBe(401)
    expect((await httpCall('POST', `${server.url}/api/v1/doctor/repairs`)).status).toBe(401)
  })
})

describe('without a server', () => {
  const nobody = 'http://slipway.localhost:1'

  it('on another machine there is nothing to see', async () => {
    const env = { SLIPWAY_URL: nobody, SLIPWAY_TOKEN: 'x'.repeat(20), SLIPWAY_DATA: '/there/is/no/such/folder' }
    const { code, stdout } = await cli.run(['doctor'], { env })
    expect([code, stdout]).toEqual([6, ''])
    const fix = await cli.run(['doctor', '--fix'], { env })
    expect([fix.code, fix.stdout]).toEqual([6, ''])
    expect(fix.stderr).toMatch(/^ ! {5}Nothing was mended: .* cannot be reached[\s\S]*start it when it does not run/)
  })

  it('on its machine it looks at what is there', async () => {
    const data = await mkdtemp(join(tmpdir(), 'slw-doctor-'))
    try {
      const env = { SLIPWAY_URL: nobody, SLIPWAY_TOKEN: 'x'.repeat(20), SLIPWAY_DATA: data, SLIPWAY_HTTP_PORT: '1' }
      const { code, stdout, stderr } = await cli.run(['doctor'], { env })
      expect(code).toBe(1)
      expect(stderr).toContain('The server does not answer; this is what can be seen without it')
      expect(stdout).toMatch(/^fail {2}server +It does not run$/m)
      expect(stdout).toMatch(/^fail {2}proxy +Nobody takes connections on /m)
      expect(stdout).toMatch(/^fail {2}database +Nobody takes connections on /m)
      expect(stdout).toMatch(/^ok {4}engine +Docker \d+/m)
      expect(stdout).toMatch(new RegExp(`^(ok|warn|fail) +disk +${data}: `, 'm'))
      expect(stdout).toMatch(/^fail {2}port +127\.0\.0\.1:1 does not lead to Slipway/m)
    } finally {
      await rm(data, { recursive: true })
    }
  })
})

describe('with a server that lacks its database', () => {
  const listen = (server: Server, at: string | number): Promise<void> =>
    new Promise((resolve) => {
      if (typeof at === 'string') server.listen(at, resolve)
      else server.listen(at, '127.0.0.1', resolve)
    })

  it('looks at what is there, says what to do about the database, and that --fix mended nothing', async () => {
    const data = await mkdtemp(join(tmpdir(), 'slw-doctor-'))
    await mkdir(join(data, 'run/postgres'), { recursive: true })
    const [api, database] = [
      createHttpServer((_req, res) => {
        res.writeHead(503, { 'content-type': 'application/problem+json' })
        res.end(JSON.stringify({ code: 'unavailable', detail: 'The database does not answer.' }))
      }),
      createServer(),
    ]
    try {
      await listen(api, 0)
      const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}`
      const env = { SLIPWAY_URL: url, SLIPWAY_TOKEN: 'x'.repeat(20), SLIPWAY_DATA: data, SLIPWAY_HTTP_PORT: '1' }
      const away = await cli.run(['doctor'], { env })
      expect([away.code, away.stderr]).toEqual([
        1,
        expect.stringContaining('The database does not answer; this is what'),
      ])
      expect(away.stdout).toMatch(/^fail {2}database +Nobody takes connections on .*postgres/m)
      expect(away.stdout).toContain(`Its log is ${data}/logs/postgres.log`)
      expect(away.stdout).toMatch(/^ok {4}engine +Docker \d+/m)
      await listen(database, join(data, 'run/postgres/.s.PGSQL.5432'))
      const frozen = await cli.run(['doctor', '--fix'], { env })
      expect(frozen.code).toBe(1)
      expect(frozen.stdout).toMatch(/^fail {2}database +It takes connections, but does not answer the server/m)
      expect(frozen.stderr).toContain(
        ' !     Nothing was mended: The database does not answer.\n       The server mends',
      )
      const DATABASE_URL = 'postgres://slipway:secret@127.0.0.1:1/slipway'
      const theirs = await cli.run(['doctor'], { env: { ...env, DATABASE_URL } })
      expect(theirs.stdout).toMatch(/^fail {2}database +Nobody takes connections on 127\.0\.0\.1:1$/m)
      expect(theirs.stdout + theirs.stderr).not.toContain('secret')
    } finally {
      api.close()
      database.close()
      await rm(data, { recursive: true })
    }
  })
})
