import { describe, expect, it } from '@jest/globals'
import { randomBytes } from 'node:crypto'
import { type ClientRequest, request } from 'node:http'
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import {
  type Clone,
  eventually,
  expectNothingLeft,
  type GitServer,
  makeClone,
  processesIn,
} from '../support/git-server.ts'
import { withOwnApp } from '../support/own-app.ts'

const maxPushBytes = 3 * 1024 * 1024
const zero = '0'.repeat(40)
let server: GitServer
let clone: Clone
let app: string
withOwnApp((own) => ({ server, clone, app } = own), { maxPushBytes, idleMs: 5_000 })

const pkt = (text: string): string => (text.length + 4).toString(16).padStart(4, '0') + text
const basic = (password: string): Record<string, string> => ({
  Authorization: `Basic ${Buffer.from(`x:${password}`).toString('base64')}`,
})

interface Answer {
  readonly status: number
  readonly headers: Record<string, unknown>
  readonly body: string
}

function ask(
  method: string,
  path: string,
  {
    headers = {},
    body,
    token = server.token,
  }: { headers?: Record<string, string>; body?: Buffer | string; token?: string | null } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const type = /git-[a-z]+-pack$/.exec(path)?.[0]
    const req = request(server.url, {
      method,
      path,
      headers: {
        ...(token === null ? {} : basic(token)),
        ...(method === 'POST' && type !== undefined ? { 'Content-Type': `application/x-${type}-request` } : {}),
        ...headers,
      },
    })
    req.on('error', reject)
    req.on('response', (res) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('error', reject)
      res.on('end', () =>
        resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks).toString('latin1') }),
      )
    })
    req.end(body)
  })
}

/** A push with an empty pack that deletes a branch which is not there: the smallest that reaches git. */
const smallPush = (ref: string): string =>
  pkt(`${'1'.repeat(40)} ${zero} ${ref}\0 report-status side-band-64k delete-refs`) + '0000'

const pushed = async (): Promise<string> => {
  const commit = await clone.commit('a.txt', 'a')
  await clone.git('push', '-q', 'divio', 'main')
  return commit
}

describe('who may', () => {
  it.each([
    ['GET', '/info/refs?service=git-upload-pack'],
    ['GET', '/info/refs?service=git-receive-pack'],
    ['POST', '/git-upload-pack'],
    ['POST', '/git-receive-pack'],
  ])('%s %s wants a known token', async (method, path) => {
    await pushed()
    for (const token of [null, 'wrong', '', `${server.token}x`]) {
      const answer = await ask(method, `/${app}.git${path}`, {
        token,
        ...(method === 'POST' ? { body: smallPush('refs/heads/main') } : {}),
      })
      expect(answer.status).toBe(401)
      expect(answer.headers['www-authenticate']).toBe('Basic realm="Slipway", charset="UTF-8"')
      expect(answer.body).toContain('slipway login')
    }
  })

  it('a push without credentials changes nothing, and a client with a wrong token is told', async () => {
    const commit = await pushed()
    await clone.commit('a.txt', 'b')
    const wrong = await clone.git('push', server.remote(app).replace(server.token, 'wrong'), 'main')
    expect(wrong.code).toBe(128)
    expect(wrong.output).toContain('This token is not known here.')
    expect(await server.cli.repositories.resolveBranch(app, 'main')).toBe(commit)
  })

  it('a bearer token is as good', async () => {
    await pushed()
    const { status } = await ask('GET', `/${app}.git/info/refs?service=git-upload-pack`, {
      token: null,
      headers: { Authorization: `Bearer ${server.token}` },
    })
    expect(status).toBe(200)
  })
})

describe('addresses', () => {
  it('asking about an unknown app makes nothing', async () => {
    const answer = await ask('GET', `/${app}.git/info/refs?service=git-receive-pack`)
    expect(answer.status).toBe(200)
    expect(answer.body).toContain('push-options')
    expect((await ask('POST', `/${app}.git/git-receive-pack`, { body: '0000' })).status).toBe(200)
    expect(await server.environments.findApp(app)).toBeNull()
    expect(await server.cli.repositories.exists(app)).toBe(false)
  })

  it('a fetch from an unknown app is told so', async () => {
    const { code, output } = await clone.git('fetch', 'divio')
    expect(code).toBe(128)
    expect(output).toContain(`There is no app “${app}” here.`)
  })

  it('an ill-formed name is told what names look like', async () => {
    const { output } = await clone.git('push', server.remote('my--shop'), 'main')
    expect(output).not.toContain('There is no app')
    await clone.commit('a.txt', 'a')
    const told = await clone.git('push', server.remote('my--shop'), 'main')
    expect(told.output).toContain('“my--shop” cannot be the name of an app.')
    expect((await clone.git('push', server.remote('My_Shop'), 'main')).output).toContain('Use 1 to 30 characters')
    expect((await clone.git('push', server.remote('git'), 'main')).output).toContain('is reserved')
  })

  it.each([
    '/../etc/x.git/info/refs?service=git-upload-pack',
    '/%2e%2e/x.git/info/refs?service=git-upload-pack',
    '//etc/x.git/info/refs?service=git-upload-pack',
    '/shop1.git/hooks/x.git/info/refs?service=git-receive-pack',
    '/shop1.git/x%00y/info/refs?service=git-receive-pack',
    '/shop1.git/HEAD',
    '/shop1.git/config',
    '/shop1.git/objects/info/packs',
    '/shop1.git/info/refs',
    '/shop1.git/info/refs?service=git-receive-pack&x=1',
    '/shop1.git/info/refs?service=git-upload-archive',
    '/shop1.git/git-upload-pack/',
    '/SHOP1.git/info/refs?service=git-upload-pack',
    '/.empty.git/info/refs?service=git-upload-pack',
    '/shop1.git?service=git-upload-pack',
    `/${'a'.repeat(300)}.git/info/refs?service=git-upload-pack`,
  ])('%s is nothing', async (path) => {
    expect([400, 404]).toContain((await ask('GET', path)).status)
  })

  it('a POST to a GET address, a strange content type and the LFS address are refused in words', async () => {
    expect((await ask('POST', `/${app}.git/info/refs?service=git-receive-pack`)).status).toBe(404)
    const form = { headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: smallPush('refs/heads/x') }
    expect((await ask('POST', `/${app}.git/git-receive-pack`, form)).status).toBe(400)
    expect((await ask('POST', `/${app}.git/info/lfs/objects/batch`)).body).toContain('no Git LFS objects')
    expect((await ask('GET', '/api/ping')).body).toBe('{"ok":true}')
  })
})

describe('fetching', () => {
  it('speaks protocol version 2 and serves shallow and partial clones', async () => {
    await clone.commit('a.txt', 'a')
    await clone.commit('a.txt', 'b')
    await clone.git('push', '-q', 'divio', 'main')
    const v2 = await ask('GET', `/${app}.git/info/refs?service=git-upload-pack`, {
      headers: { 'Git-Protocol': 'version=2' },
    })
    expect(v2.body).toMatch(/^000eversion 2/)
    const evil = await ask('GET', `/${app}.git/info/refs?service=git-upload-pack`, {
      headers: { 'Git-Protocol': 'version=2; x' },
    })
    expect(evil.body).toMatch(/^001e# service=git-upload-pack/)
    const other = await makeClone()
    expect((await other.git('clone', '-q', '--depth', '1', server.remote(app), 'shallow')).output).toBe('')
    expect((await other.git('-C', 'shallow', 'rev-list', '--count', 'HEAD')).output.trim()).toBe('1')
    expect((await other.git('clone', '-q', '--filter=blob:none', server.remote(app), 'partial')).code).toBe(0)
    expect((await other.git('-C', 'partial', 'show', 'HEAD:a.txt')).output).toBe('b')
    other.remove()
  })

  it('of an app without a commit gives an empty clone', async () => {
    await server.environments.createApp(app)
    expect((await clone.git('fetch', 'divio')).code).toBe(0)
    expect((await clone.git('ls-remote', 'divio')).output).toBe('')
  })

  it('a client that goes away in the middle ends its git', async () => {
    await clone.commit('big.bin', randomBytes(2 * 1024 * 1024))
    await clone.git('push', '-q', 'divio', 'main')
    const head = (await clone.git('rev-parse', 'HEAD')).output.trim()
    const body = `${pkt(`want ${head} ofs-delta side-band-64k\n`)}0000${pkt('done\n')}`
    const socket = connect(server.port, '127.0.0.1')
    socket.write(
      `POST /${app}.git/git-upload-pack HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic(server.token)['Authorization'] ?? ''}\r\n` +
        `Content-Type: application/x-git-upload-pack-request\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
    await new Promise((resolve) => socket.once('readable', resolve))
    socket.destroy()
    await eventually(
      () => processesIn(server.dataDir),
      (left) => left.length === 0,
    )
  })
})

describe('clients that break off', () => {
  const begin = (path = `/${app}.git/git-receive-pack`): ClientRequest => {
    const req = request(server.url, {
      method: 'POST',
      path,
      headers: {
        ...basic(server.token),
        'Content-Type': 'application/x-git-receive-pack-request',
        'Transfer-Encoding': 'chunked',
      },
    })
    req.on('error', () => undefined)
    return req
  }
  /** A push of random bytes cut into its request body, as a client would send it. */
  const packOf = async (): Promise<Buffer> => {
    const commit = await clone.commit('big.bin', randomBytes(1024 * 1024))
    await clone.git('repack', '-q', '-a', '-d')
    const pack = await clone.git('ls-files')
    expect(pack.code).toBe(0)
    const { readdirSync, readFileSync } = await import('node:fs')
    const folder = `${clone.path}/.git/objects/pack`
    const name = readdirSync(folder).find((file) => file.endsWith('.pack')) ?? ''
    const head = `${pkt(`${zero} ${commit} refs/heads/main\0 report-status side-band-64k agent=test`)}0000`
    return Buffer.concat([Buffer.from(head), readFileSync(`${folder}/${name}`)])
  }

  it.each([0, 2, 50, 200, 5_000, 700_000])('after %d bytes: nothing is left', async (bytes) => {
    const body = await packOf()
    const req = begin()
    req.flushHeaders()
    if (bytes > 0) req.write(body.subarray(0, bytes))
    await new Promise((resolve) => setTimeout(resolve, 60))
    req.destroy()
    await expectNothingLeft(server)
    expect(await server.environments.findApp(app)).toBeNull()
  })

  it.each([0, 100, 700_000])('that stall after %d bytes are sent away', async (bytes) => {
    const body = await packOf()
    const req = begin()
    req.flushHeaders()
    if (bytes > 0) req.write(body.subarray(0, bytes))
    const begun = Date.now()
    await new Promise<void>((resolve) => {
      req.on('close', () => resolve())
      req.on('response', (res) => res.resume().on('close', () => resolve()))
    })
    expect(Date.now() - begun).toBeLessThan(20_000)
    req.destroy()
    await expectNothingLeft(server)
  })

  it('while the deploy runs: it goes on, its log is no longer read', async () => {
    const release = server.deploys.hold()
    const req = begin()
    req.end(await packOf())
    const res = await new Promise<NodeJS.ReadableStream>((resolve) => req.on('response', resolve))
    await new Promise<void>((resolve) => res.on('data', (chunk: Buffer) => chunk.includes('Building') && resolve()))
    expect(server.deploys.following.size).toBe(1)
    req.destroy()
    await eventually(
      () => server.deploys.following.size,
      (size) => size === 0,
    )
    await expectNothingLeft(server)
    expect(server.deploys.requests.at(-1)).toMatchObject({ branch: 'main' })
    expect(await server.cli.repositories.resolveBranch(app, 'main')).not.toBeNull()
    release()
  })

  it('a request that is gzipped is taken, one that is not what it says is refused', async () => {
    await pushed()
    const packed = { headers: { 'Content-Encoding': 'gzip' } }
    const body = gzipSync(smallPush('refs/heads/none'))
    const answer = await ask('POST', `/${app}.git/git-receive-pack`, { ...packed, body })
    expect(answer.body).toContain('ng refs/heads/none')
    expect((await ask('POST', `/${app}.git/git-receive-pack`, { ...packed, body: 'no gzip' })).status).toBe(400)
  })
})

describe('too much', () => {
  it.each([
    ['chunked', '1048576'],
    ['with its length', '104857600'],
  ])('a push over the limit, %s, is told in words', async (_, postBuffer) => {
    await clone.commit('big.bin', randomBytes(6 * 1024 * 1024))
    const { code, output } = await clone.git('-c', `http.postBuffer=${postBuffer}`, 'push', 'divio', 'main')
    expect(code).toBe(1)
    expect(output).toContain('This push is larger than the limit of 3 MB.')
    expect(output).toContain('! [remote rejected] main -> main')
    expect(await server.environments.findApp(app)).toBeNull()
    await clone.git('rm', '-q', '--cached', 'big.bin')
    await clone.git('commit', '-q', '--amend', '-m', 'small')
  })

  it('a gzip bomb does no harm', async () => {
    const create = `${pkt(`${zero} ${'1'.repeat(40)} refs/heads/x\0 report-status side-band-64k`)}0000`
    const bomb = gzipSync(Buffer.concat([Buffer.from(create), Buffer.alloc(60 * 1024 * 1024)]))
    const before = process.memoryUsage.rss()
    const packed = { headers: { 'Content-Encoding': 'gzip' }, body: bomb }
    const answer = await ask('POST', `/${app}.git/git-receive-pack`, packed)
    expect(answer.body).toContain('ng refs/heads/x')
    expect(process.memoryUsage.rss() - before).toBeLessThan(50 * 1024 * 1024)
  })
})

describe('what git refuses', () => {
  it('a push from a shallow clone that lacks history is told what to do', async () => {
    await clone.commit('a.txt', 'a')
    await clone.commit('a.txt', 'b')
    await clone.git('push', '-q', 'divio', 'main')
    const other = await makeClone()
    await other.git('clone', '-q', '--depth', '1', server.remote(app), 'shallow')
    const { code, output } = await other.git('-C', 'shallow', 'push', server.remote(`${app}-b`), 'main')
    expect(code).toBe(1)
    expect(output).toContain('git fetch --unshallow')
    expect(output).toContain('shallow update not allowed')
    await eventually(
      () => server.cli.repositories.exists(`${app}-b`),
      (there) => !there,
    )
    other.remove()
  })

  const commitTree = async (lines: string): Promise<void> => {
    const { execFileSync } = await import('node:child_process')
    const run = (args: string[], input: Buffer): string =>
      execFileSync('git', args, {
        cwd: clone.path,
        input,
        encoding: 'utf8',
        env: {
          ...process.env,
          GIT_AUTHOR_NAME: 'a',
          GIT_AUTHOR_EMAIL: 'a@b',
          GIT_COMMITTER_NAME: 'a',
          GIT_COMMITTER_EMAIL: 'a@b',
        },
      }).trim()
    const blob = run(['hash-object', '-w', '--stdin'], Buffer.from('x'))
    const [mode = '', name = ''] = lines.split(' ')
    const entry = Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(blob, 'hex')])
    const tree = run(['hash-object', '-t', 'tree', '-w', '--literally', '--stdin'], entry)
    run(['update-ref', 'refs/heads/main', run(['commit-tree', tree, '-m', 'x'], Buffer.alloc(0))], Buffer.alloc(0))
  }

  it('zero-padded modes of old tools are only warned about', async () => {
    await commitTree('0100644 a.txt')
    const { code, output } = await clone.git('push', 'divio', 'main')
    expect(output).toContain('zeroPaddedFilemode')
    expect(code).toBe(0)
  })

  it('a folder called .git is refused, and nothing is left', async () => {
    await commitTree('100644 .git')
    const { code, output } = await clone.git('push', 'divio', 'main')
    expect(code).toBe(1)
    expect(output).toContain('hasDotgit')
    expect(output).toContain('Git could not take in what was pushed')
    await eventually(
      () => server.cli.repositories.exists(app),
      (there) => !there,
    )
  })

  it('a .gitmodules that would run a command is refused', async () => {
    await clone.commit('.gitmodules', '[submodule "x"]\n\tpath = x\n\turl = -u./payload\n')
    const { code, output } = await clone.git('push', 'divio', 'main')
    expect(code).toBe(1)
    expect(output).toContain('gitmodulesUrl')
  })
})

it('survives 600 mutated requests without a 5xx or a child left', async () => {
  const commit = await pushed()
  const whole = Buffer.from(
    `${pkt(`${commit} ${zero} refs/heads/none\0 report-status side-band-64k atomic push-options`)}${pkt(`${zero} ${commit} refs/heads/x`)}0000${pkt('nowait')}0000PACK`,
  )
  const paths = [
    `/${app}.git/git-receive-pack`,
    `/${app}.git/git-upload-pack`,
    `/${app}.git/info/refs?service=git-receive-pack`,
  ]
  let seed = 7
  const random = (below: number): number => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    return seed % below
  }
  const statuses = new Map<number, number>()
  const once = async (): Promise<void> => {
    const body = Buffer.from(whole)
    for (let i = random(6); i >= 0; i--) body[random(body.length)] = random(256)
    let path = paths[random(paths.length)] ?? ''
    if (random(3) === 0)
      path =
        path.slice(0, 1 + random(path.length)) + String.fromCharCode(33 + random(90)) + path.slice(random(path.length))
    const answer = await ask(path.includes('info') ? 'GET' : 'POST', path, {
      body: body.subarray(0, random(body.length + 1)),
    }).catch(() => ({ status: 0 }))
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
  }
  for (let i = 0; i < 60; i++) await Promise.all(Array.from({ length: 10 }, once))
  expect([...statuses.keys()].filter((status) => status >= 500)).toEqual([])
  expect(statuses.get(200)).toBeGreaterThan(50)
  expect(statuses.get(400)).toBeGreaterThan(20)
  await expectNothingLeft(server)
  expect((await clone.git('ls-remote', 'divio')).output).toContain('refs/heads/main')
})
