import { afterEach, describe, expect, it } from '@jest/globals'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeProxySocket } from '../../../../src/adapters/haproxy/socket.ts'

/*
 * What HAProxy says when things are not as they should be: its own words (2.6.12), and silence. The rest is tested with a
 * real one.
 */

const open: { server: Server; dir: string; sockets: Set<Socket> }[] = []
afterEach(async () => {
  for (const { server, dir, sockets } of open.splice(0)) {
    for (const socket of sockets) socket.destroy()
    await new Promise((done) => server.close(done))
    await rm(dir, { recursive: true, force: true })
  }
})

/** A socket whose other side answers the n-th command with the n-th text; null: with silence. */
async function answering(...answers: (string | null)[]) {
  const dir = await mkdtemp(join(tmpdir(), 'slipway-socket-'))
  const commands: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      commands.push(chunk.toString())
      const answer = answers.shift()
      if (answer !== null) socket.end(answer ?? '')
    })
  }).listen(join(dir, 's'))
  await new Promise((done) => server.once('listening', done))
  open.push({ server, dir, sockets })
  return { socket: makeProxySocket(join(dir, 's')), commands, path: join(dir, 's') }
}

const found = (value: string, key = 'k'): string =>
  `type=str, case=sensitive, found=yes, idx=tree, key="${key}", value="${value}", type="str"\n\n`
const missing = 'type=str, case=sensitive, found=no\n\n'
const unavailable = { code: 'unavailable' }

describe('the proxy’s socket', () => {
  it('adds what is missing, changes what is there, and reads it back', async () => {
    const { socket, commands } = await answering(missing, `\n${found('v')}`, found('u'), `\n${found('v')}`, found('v'))
    await socket.put('/m', 'k', 'v')
    await socket.put('/m', 'k', 'v')
    await socket.put('/m', 'k', 'v')
    expect(commands).toEqual([
      'get map /m k\n',
      'add map /m k v;get map /m k\n',
      'get map /m k\n',
      'set map /m k v;get map /m k\n',
      'get map /m k\n',
    ])
  })

  it('adds what a map of beginnings has only a shorter beginning of', async () => {
    const { socket, commands } = await answering(found('short', 'short'), `\n${found('shorter', 'shorter')}`)
    await socket.put('/m', 'shorter', 'shorter')
    expect(commands).toEqual(['get map /m shorter\n', 'add map /m shorter shorter;get map /m shorter\n'])
  })

  it.each([
    ['the value is another one afterwards', [found('u'), `\n${found('u')}`]],
    ['the entry went away in between', [found('u'), `entry not found.\n\n${missing}`]],
    ['the map is unknown', ['Unknown map identifier. Please use #<id> or <file>.\n\n']],
    ['the value is refused', [missing, `unable to parse 'v'.\n\n${missing}`]],
    ['the answer is cut off', ['type=str, case=sensitive, fou']],
    ['the answer is empty', ['']],
  ])('fails when %s', async (_, answers) => {
    const { socket } = await answering(...answers)
    await expect(socket.put('/m', 'k', 'v')).rejects.toMatchObject(unavailable)
  })

  it('does not mind removing what is not there', async () => {
    const { socket } = await answering(
      '\n',
      'Key not found.\n\n',
      'Unknown map identifier. Please use #<id> or <file>.\n\n',
    )
    await socket.remove('/m', 'k')
    await socket.remove('/m', 'k')
    await expect(socket.remove('/m', 'k')).rejects.toMatchObject(unavailable)
  })

  it('shows a map, and no half of one', async () => {
    const { socket } = await answering('0x1 a b\n0x2 c d\n\n', '\n', '0x1 a b\n0x2', 'Unknown map identifier.\n\n')
    expect(await socket.show('/m')).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ])
    expect(await socket.show('/m')).toEqual([])
    await expect(socket.show('/m')).rejects.toMatchObject(unavailable)
    await expect(socket.show('/m')).rejects.toMatchObject(unavailable)
  })

  it('takes a prepared version back when it could not be filled', async () => {
    const { socket, commands } = await answering('New version created: 7\n\n', "unable to parse 'x'.\n\n", '\n')
    await expect(socket.replace('/m', [['a', 'x']], () => Promise.resolve())).rejects.toMatchObject(unavailable)
    expect(commands).toEqual(['prepare map /m\n', 'add map @7 /m <<\na x\n\n', 'clear map @7 /m\n'])
  })

  it('counts what is open, since when it is quiet, and what nobody asked for as nothing', async () => {
    const head = '# table: per_target, type: string, size:102400, used:1\n'
    const row = '0x1: key=10.0.0.1:80 use=1 exp=85458513 conn_cur=12 http_req_cnt=3 bytes_out_cnt=0\n\n'
    const { socket } = await answering(head + row, `${head}\n`, '\n', 'No such table.\n\n')
    expect(await socket.readUse('10.0.0.1:80')).toEqual({ open: 12, quietMs: 86_400_000 - 85_458_513, asked: 3 })
    expect(await socket.readUse('10.0.0.1:80')).toEqual({ open: 0, quietMs: null, asked: 0 })
    expect(await socket.readUse('10.0.0.1:80')).toEqual({ open: 0, quietMs: null, asked: 0 })
    await expect(socket.readUse('10.0.0.1:80')).rejects.toMatchObject(unavailable)
  })

  it('waits 2 s for an answer and no longer', async () => {
    const { socket } = await answering(null, null)
    const begun = performance.now()
    const [put, probe] = await Promise.all([socket.show('/m').catch((error: unknown) => error), socket.probe()])
    expect(put).toMatchObject(unavailable)
    expect(probe).toBe('silent')
    expect(performance.now() - begun).toBeGreaterThan(1_900)
    expect(performance.now() - begun).toBeLessThan(3_500)
  })

  it('tells who answers from nobody', async () => {
    const { socket } = await answering(
      'Name: HAProxy\nPid: 12\nUptime_sec: 34\ndescription: slipway-00ff\n\n',
      'nonsense\n',
    )
    expect(await socket.probe()).toEqual({ pid: 12, upSeconds: 34, configHash: '00ff' })
    expect(await socket.probe()).toBe('silent')
    expect(await makeProxySocket('/nowhere/s').probe()).toBe('gone')
  })

  it('asks again when whoever took the question was gone before the answer, and not for ever', async () => {
    const whole = 'Name: HAProxy\nPid: 12\ndescription: slipway-00ff\n\n'
    const leaving = await answering('', 'Name: HAPr', whole)
    expect(await leaving.socket.probe()).toEqual({ pid: 12, upSeconds: 0, configHash: '00ff' })
    const gone = await answering()
    expect(await gone.socket.probe()).toBe('gone')
    expect(gone.commands.length).toBeLessThan(10)
  })

  it.each(['', 'a b', 'a;b', 'a\nb', 'a\0', '<<', 'é', 'a'.repeat(257), '#1', '$x', "'", '"', '\\'])(
    'sends nothing that could be a second word: %j',
    async (odd) => {
      const { socket, commands } = await answering()
      const refusal = { code: 'bad_request' }
      await expect(socket.put('/m', odd, 'v')).rejects.toMatchObject(refusal)
      await expect(socket.put('/m', 'k', odd)).rejects.toMatchObject(refusal)
      await expect(socket.put(odd, 'k', 'v')).rejects.toMatchObject(refusal)
      await expect(socket.remove('/m', odd)).rejects.toMatchObject(refusal)
      await expect(socket.readUse(odd)).rejects.toMatchObject(refusal)
      expect(commands).toEqual([])
    },
  )
})
