import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer, type Server } from 'node:http'
import { createServer as createSocketServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { type EngineMachine, ensureEngine, inspectMachine } from '../../src/setup/engine.ts'
import { stopDaemon } from '../../src/setup/engine-start.ts'

let folder: string
let socket: string
let said: string[]
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slw-engine-'))
  socket = join(folder, 'engine.sock')
  said = []
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

const machine = (change: Partial<EngineMachine> = {}): EngineMachine => ({
  ...inspectMachine(),
  ownSocket: socket,
  unit: false,
  configFile: join(folder, 'daemon.json'),
  ...change,
})
const ensure = (change: Partial<EngineMachine> = {}) =>
  ensureEngine({
    socket,
    logFile: join(folder, 'engine.log'),
    say: (line) => said.push(line),
    machine: machine(change),
    answerLimitMs: 1000,
  })

describe('an engine that answers', () => {
  let server: Server
  const answer = async (answers: Record<string, object>): Promise<void> => {
    server = createHttpServer((request, response) => {
      const body = answers[request.url ?? '']
      response.writeHead(body === undefined ? 404 : 200).end(JSON.stringify(body ?? { message: 'no' }))
    })
    await new Promise<void>((resolve) => server.listen(socket, resolve))
  }
  afterEach(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })

  it('is taken as it is, with what it lacks', async () => {
    await answer({
      '/version': { Version: '27.1.0', ApiVersion: '1.46' },
      '/info': { LiveRestoreEnabled: false, Swarm: { LocalNodeState: 'inactive' } },
      '/networks/bridge': { Options: { 'com.docker.network.bridge.enable_icc': 'true' } },
    })
    expect(await ensure()).toEqual({
      version: '27.1.0',
      apiVersion: '1.46',
      liveRestore: false,
      isolatesContainers: false,
      startedPid: null,
      warnings: [expect.stringContaining('live-restore'), expect.stringContaining('icc')],
    })
    expect(said).toEqual([])
  })

  it('is refused when it is too old', async () => {
    await answer({ '/version': { Version: '19.03.1', ApiVersion: '1.40' } })
    await expect(ensure()).rejects.toThrow('too old: it speaks API 1.40')
  })

  it('is refused when it is something else', async () => {
    await answer({})
    await expect(ensure()).rejects.toThrow('is no Docker engine')
  })
})

describe('an engine that does not answer', () => {
  it('is told when it takes the connection and hangs, and no other is started over it', async () => {
    const connections: Socket[] = []
    const server = createSocketServer((connection) => connections.push(connection))
    await new Promise<void>((resolve) => server.listen(socket, resolve))
    const begin = performance.now()
    await expect(ensure()).rejects.toThrow('takes connections but does not answer')
    expect(performance.now() - begin).toBeLessThan(20_000)
    expect(said).toEqual([])
    expect(existsSync(join(folder, 'engine.log'))).toBe(false)
    for (const connection of connections) connection.destroy()
    await new Promise((resolve) => server.close(resolve))
  })

  it('says why with the last lines of its log when it cannot be started', async () => {
    const own = await ownDaemon()
    const wrong = [...(own.arguments ?? []), '--storage-driver=no-such-driver']
    await expect(ensure({ ...own, arguments: wrong })).rejects.toMatchObject({
      message: expect.stringContaining('could not be started: it ended with 1'),
      evidence: expect.arrayContaining([expect.stringMatching(/no-such/)]),
    })
  })

  it('is not started by a file that is not JSON', async () => {
    await writeFile(join(folder, 'daemon.json'), '{')
    await expect(ensure()).rejects.toThrow('is not JSON')
  })
})

describe('an engine of the machine', () => {
  it('is started once by two at the same moment, apart from us, and found by the next', async () => {
    const own = await ownDaemon()
    // As a killed engine leaves them; the pid is another program's by now.
    await mkdir(join(folder, 'exec/containerd'), { recursive: true })
    for (const file of ['pid', 'exec/containerd/containerd.pid'])
      await writeFile(join(folder, file), String(process.pid))
    const both = await Promise.all([ensure(own), ensure(own)])
    const pid = both.map((facts) => facts.startedPid).find((started) => started !== null) ?? -1
    try {
      expect(both.filter((facts) => facts.startedPid !== null)).toHaveLength(1)
      expect(both[0]).toMatchObject({ liveRestore: true, isolatesContainers: true, warnings: [] })
      expect(said).toHaveLength(1)
      const stat = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
      expect(stat[3]).toBe(String(pid)) // a session of its own
      expect((await ensure(own)).startedPid).toBeNull()
    } finally {
      await stopDaemon(pid)
    }
    expect(existsSync(`/proc/${pid}`)).toBe(false)
  })
})

/** A second engine on this machine: its own network and mounts, so that it shares nothing with the first. */
async function ownDaemon(): Promise<Partial<EngineMachine>> {
  const dockerd = join(folder, 'dockerd')
  await writeFile(dockerd, `#!/bin/sh\nexec unshare --net --mount ${inspectMachine().dockerd ?? ''} "$@"\n`, {
    mode: 0o755,
  })
  const places = ['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')]
  const files = ['--pidfile', join(folder, 'pid'), '--config-file', join(folder, 'daemon.json')]
  await writeFile(join(folder, 'daemon.json'), '{}')
  return { dockerd, arguments: [...places, ...files] }
}
