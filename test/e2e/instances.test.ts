import { createServer, type Server } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { type Clone, makeClone, makeSlipway, type Slipway } from '../support/slipway.ts'

/** Tries to reach each of its arguments and tells the outcome; `nc` ends with 0 when something accepted the connection. */
const probe = `#!/bin/sh
gw=$(ip route | awk '/^default/ { print $3 }')
for to in "$@"; do
  to=$(echo "$to" | sed "s/^gateway:/$gw:/")
  ( if printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 4 nc -w 2 "\${to%:*}" "\${to##*:}" 2> /dev/null | grep -q .
    then echo "$to answered"; else echo "$to nothing"; fi ) &
done
wait
`

const serve = `#!/bin/sh
env > /www/env
cat /proc/self/status > /www/status
cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2> /dev/null > /www/memory
cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2> /dev/null > /www/pids
( sleep 1; /probe 127.0.0.1:$PORT $(cat /targets) > /www/net.new; mv /www/net.new /www/net ) &
exec httpd -f -p $PORT -h /www
`

/** What an app finds around it: its variables, its limits, and nothing of the host or of others. */
describe('an instance', () => {
  let slipway: Slipway
  let shop: Clone
  let host: Server
  let hostPort: number
  const visitors: string[] = []

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway()
    await slipway.start()
    // A careless service of the host: on all its addresses.
    host = createServer((socket) => {
      visitors.push(socket.remoteAddress ?? '')
      socket.end('HTTP/1.0 200 OK\r\n\r\nsecret\r\n')
    })
    await new Promise<void>((done) => host.listen(0, '0.0.0.0', done))
    hostPort = (host.address() as { port: number }).port
    shop = await makeClone(slipway, 'shop')
  })

  afterAll(async () => {
    await shop.remove()
    host.close()
    expect(await slipway.remove()).toEqual([])
  })

  const files = (targets: readonly string[]): Record<string, string> => ({
    Dockerfile: [
      'FROM slipway-test/busybox:1',
      'COPY probe serve targets /',
      'RUN chmod 755 /probe /serve; mkdir /www; env > /www/build-env; /probe $(cat /targets) > /www/build-net',
      'CMD ["/serve"]',
      '',
    ].join('\n'),
    probe,
    serve,
    targets: `${targets.join(' ')}\n`,
    'slipway.yml': 'port: 8123\ndrain: 1s\nstop: 1s\nresources: { memory: 48m, cpus: 0.5, pids: 77 }\n',
  })
  const read = async (label: string, path: string): Promise<string> =>
    (await slipway.get(`${label}.localhost`, path)).body
  const readVariables = async (label: string): Promise<Record<string, string>> =>
    Object.fromEntries<string>(
      (await read(label, '/env'))
        .split('\n')
        .map((line) => [line.split('=')[0] ?? '', line.slice(line.indexOf('=') + 1)]),
    )

  it('has its variables; the secret key belongs to the environment and stays over releases; a build has none of them', async () => {
    await shop.write(files([`gateway:${hostPort}`]))
    const { output } = await shop.push('develop')
    expect(output).toContain('status=live')
    const test = await readVariables('test--shop')
    const commit = (await shop.git('rev-parse', 'HEAD')).output.trim()
    expect(test).toMatchObject({
      STAGE: 'test',
      DEBUG: 'True',
      PORT: '8123',
      GIT_BRANCH: 'develop',
      GIT_COMMIT: commit,
      SLIPWAY_APP: 'shop',
      SLIPWAY_ENVIRONMENT: 'test',
      SLIPWAY_RELEASE: 'v1',
      DOMAIN: 'test--shop.localhost',
      DOMAIN_ALIASES: 'v1--test--shop.localhost',
      SECRET_KEY: expect.stringMatching(/^[\w-]{40,}$/),
    })
    const atBuild = await read('test--shop', '/build-env')
    expect(atBuild).toMatch(/^PATH=/m)
    expect(atBuild).not.toMatch(/STAGE|SECRET_KEY|SLIPWAY|GIT_COMMIT/)

    const toLive = await shop.push('develop', '-o', 'env=live')
    expect(toLive.output).toContain('status=live')
    const live = await readVariables('shop')
    expect(live).toMatchObject({ STAGE: 'live', DEBUG: 'False', SLIPWAY_RELEASE: 'v1', DOMAIN: 'shop.localhost' })
    // Releases of live have no address until it is protected.
    expect(live['DOMAIN_ALIASES']).toBe('')
    expect(live['SECRET_KEY']).not.toBe(test['SECRET_KEY'])
    await shop.push('develop')
    expect(await readVariables('test--shop')).toMatchObject({ SLIPWAY_RELEASE: 'v2', SECRET_KEY: test['SECRET_KEY'] })
    expect(slipway.output() + output).not.toContain(test['SECRET_KEY'])
  })

  it('runs without new privileges, raw sockets or more memory and processes than it was given', async () => {
    const status = await read('test--shop', '/status')
    expect(status).toMatch(/^NoNewPrivs:\s*1$/m)
    const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? ''}`)
    const capabilities = { NET_ADMIN: 12n, NET_RAW: 13n, SYS_CHROOT: 18n, SYS_PTRACE: 19n, SYS_ADMIN: 21n, MKNOD: 27n }
    for (const [name, bit] of Object.entries(capabilities)) {
      expect({ name, held: (effective >> bit) & 1n }).toEqual({ name, held: 0n })
    }
    expect(await read('test--shop', '/memory')).toBe(`${48 * 1024 * 1024}\n`)
    expect(await read('test--shop', '/pids')).toBe('77\n')
  })

  it('reaches nothing of the host, of another instance or of the cloud’s metadata; neither does a build', async () => {
    const [other] = await slipway.sql<{ address: string }>(
      'select host(address) as address from addresses where instance_id is not null limit 1',
    )
    const outside = Object.values((await import('node:os')).networkInterfaces())
      .flatMap((list) => list ?? [])
      .filter(({ family, internal }) => family === 'IPv4' && !internal)
      .map(({ address }) => address)
    // The addresses are the host's: from the host itself they answer.
    const targets = [
      ...outside.slice(0, 4).map((address) => `${address}:${hostPort}`),
      `${outside[0] ?? ''}:${slipway.port}`,
      `${other?.address ?? ''}:8123`,
      '169.254.169.254:80',
      '100.100.100.200:80',
    ]
    const spy = await makeClone(slipway, 'spy')
    await spy.write(files([`gateway:${hostPort}`, ...targets]))
    const { output } = await spy.push('main')
    expect(output).toContain('status=live')
    const atBuild = await read('test--spy', '/build-net')
    expect(atBuild.trim().split('\n')).toHaveLength(targets.length + 1)
    expect(atBuild).not.toMatch(/answered/)
    let inside = { status: 404, body: '' }
    for (let i = 0; i < 200 && inside.status !== 200; i += 1) {
      inside = await slipway.get('test--spy.localhost', '/net')
      if (inside.status !== 200) await new Promise((done) => setTimeout(done, 100))
    }
    expect(inside.body).toMatch(/^127\.0\.0\.1:8123 answered$/m)
    expect(inside.body.match(/answered/g)).toHaveLength(1)
    expect(inside.body).toContain('169.254.169.254:80 nothing')
    expect(inside.body).toContain(`${other?.address ?? ''}:8123 nothing`)
    expect(visitors).toEqual([])
    await spy.remove()
  })
})
