import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from '@jest/globals'
import { dockerOf } from '../support/docker.ts'
import { withOwnSlipway } from '../support/own-slipway.ts'
import { type Clone, type Slipway, waitFor } from '../support/slipway.ts'
import { type Cli, type CliResult } from '../support/slipway-cli.ts'

const odd = ' $HOME "double" \'single\' `back`\n\\n é\u2028\t#='
const secret = 's3cret/with "quotes"'

/** From the command line into the container, byte for byte, and out of no log. */
describe('variables', () => {
  let slipway: Slipway
  let shop: Clone
  let cli: Cli

  withOwnSlipway((own) => void ({ slipway, cli, shop } = own))
  beforeAll(async () => {
    await cli.run(['apps', 'create', 'shop'])
    await shop.write({
      Dockerfile: [
        'FROM slipway-test/busybox:1',
        'ARG API_URL',
        'RUN mkdir /www; printf %s "$API_URL" > /www/at-build',
        'CMD printf %s "$ODD" > /www/odd; echo "password: $PASSWORD"; echo "encoded: $(printf %s "admin:$PASSWORD" | base64 -w 0)"; exec httpd -f -p $PORT -h /www',
        '',
      ].join('\n'),
      'slipway.yml': 'drain: 0s\nstop: 1s\nrelease: [ { label: migrate, run: "echo migrating with $PASSWORD" } ]\n',
    })
  })

  const vars = (...args: string[]): Promise<CliResult> => cli.run(['vars', ...args, '-a', 'shop'])
  const body = async (path: string): Promise<string> => (await slipway.get('test--shop.localhost', path)).body

  it('reach the build and the container, and secrets are masked wherever they are printed', async () => {
    expect((await vars('set', `ODD=${odd}`)).code).toBe(0)
    expect((await vars('set', 'API_URL=https://api.example', '--build')).code).toBe(0)
    expect((await cli.run(['vars', 'set', 'PASSWORD', '--secret', '-a', 'shop'], { input: secret })).code).toBe(0)
    const push = await shop.push('main')
    expect(push.results).toMatchObject([{ status: 'live' }])
    expect(push.output).toContain('With the build variables API_URL')
    expect(push.output).toContain('migrating with [masked]')
    expect(await body('/odd')).toBe(odd)
    expect(await body('/at-build')).toBe('https://api.example')
    const readLogs = (): Promise<CliResult> => cli.run(['logs', 'test', '-a', 'shop', '-n', '50'])
    await waitFor('the log to be kept', 20_000, async () => (await readLogs()).stdout.includes('encoded: '))
    const logs = await readLogs()
    expect(logs.stdout).toContain('password: [masked]')
    expect(logs.stdout).toMatch(/encoded: \S{0,9}\[masked\]/)
    const kept = await filesBelow(join(slipway.dataDir, 'logs'))
    expect(kept).toContain('[masked]')
    for (const form of [secret, Buffer.from(secret).toString('base64').slice(4, 20)])
      expect(kept + push.output + logs.stdout).not.toContain(form)
  })

  it('are applied by a deploy of their own, and kept through another secret key and kill -9', async () => {
    const set = await vars('set', 'API_URL=https://two.example', '--deploy')
    expect([set.code, set.stderr + set.stdout]).toEqual([0, expect.stringContaining('v2 is live')])
    expect(await body('/at-build')).toBe('https://two.example')
    const rotated = await cli.run(['vars', 'rotate-key', '--secret-key'], { input: 'k'.repeat(40) })
    expect([rotated.code, rotated.stdout]).toEqual([0, expect.stringContaining('secret-key of the data folder')])
    await slipway.stop('SIGKILL')
    await slipway.start()
    expect((await readFile(join(slipway.dataDir, 'secret-key'), 'utf8')).trim()).toBe('k'.repeat(40))
    expect((await vars('get', 'ODD')).stdout).toBe(odd)
    await slipway.stop('SIGTERM')
    await expect(slipway.start({ SLIPWAY_SECRET_KEY: 'w'.repeat(40) })).rejects.toThrow(
      /not the one that this database/,
    )
    expect(await body('/odd')).toBe(odd)
    await slipway.start()
    expect((await vars('get', 'ODD')).stdout).toBe(odd)
  })

  it('that leaked are revoked: neither what serves nor an old release starts with them again', async () => {
    const revoked = await vars('revoke', `ODD=${odd} (new)`)
    expect([revoked.code, revoked.stdout]).toEqual([0, expect.stringContaining('releases (test 2).')])
    expect(revoked.stdout).toContain(
      'test still runs with the old value (v2). Start it anew: slipway restart test -a shop',
    )
    expect(await body('/odd')).toBe(odd)
    // The engine would bring it back as it was.
    const docker = dockerOf('/var/run/docker.sock')
    const filters = { label: [`slipway.installation=${slipway.installation}`, 'slipway.version=v2'] }
    const [container] = await docker.listContainers({ filters })
    process.kill((await docker.getContainer(container?.Id ?? '').inspect()).State.Pid, 'SIGKILL')
    await waitFor('it to be started again', 20_000, async () => {
      const { status, body: now } = await slipway.get('test--shop.localhost', '/odd')
      if (status === 200) expect(now).toBe(`${odd} (new)`)
      return status === 200
    })
    expect((await cli.run(['restart', 'test', '-a', 'shop'])).code).toBe(0)
    expect(await body('/odd')).toBe(`${odd} (new)`)
    expect((await cli.run(['rollback', 'test', 'v1', '-a', 'shop'])).code).toBe(0)
    expect(await body('/odd')).toBe(`${odd} (new)`)
    expect((await vars('set', `ODD=${odd}`)).code).toBe(5)

    const releases = (...args: string[]): Promise<CliResult> => cli.run(['releases', ...args, '-a', 'shop'])
    expect((await releases('list')).stdout).toMatch(/^v3 +serves +kept .* rollback to v1 /m)
    expect((await releases('show', 'v1')).stdout).toMatch(/^Variables +API_URL, ODD, PASSWORD$/m)
    expect((await releases('diff', 'v2', 'v3')).stdout).toContain('Variables:\n  changed: API_URL\n')
  })
})

async function filesBelow(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith('.log'))
  return (await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name), 'utf8')))).join('\n')
}
