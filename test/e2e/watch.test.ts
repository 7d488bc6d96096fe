import { describe, expect, it } from '@jest/globals'
import { dockerOf } from '../support/docker.ts'
import { type OwnSlipway, withOwnSlipway } from '../support/own-slipway.ts'
import { type Clone, page, type Slipway, waitFor } from '../support/slipway.ts'
import { visit } from '../support/visitor.ts'

/** What served stays warm after a swap; going back to it by hand and by itself. */
describe('what served before', () => {
  let slipway: Slipway
  let shop: Clone
  let cli: OwnSlipway['cli']
  let run: OwnSlipway['done']

  withOwnSlipway((own) => void ({ slipway, cli, shop, done: run } = own))

  const host = 'test--shop.localhost'
  const config = (more: string): string => `drain: 1s\nstop: 1s\nhealth: { path: /healthz }\n${more}\n`
  const good = (text: string, more: string): Record<string, string> =>
    page(text, { 'www/healthz': 'ok\n', 'slipway.yml': config(more) })
  const containers = async (): Promise<string[]> => {
    const filters = { label: [`slipway.installation=${slipway.installation}`, 'slipway.kind=instance'] }
    return (await dockerOf().listContainers({ filters })).map(({ Id }) => Id).toSorted()
  }
  const push = async (files: Record<string, string>): Promise<string> => {
    await shop.write(files)
    const { output, results } = await shop.push('develop')
    expect(results).toMatchObject([{ environment: 'test', status: 'live' }])
    return output
  }
  const states = async (): Promise<(string | null)[]> => {
    const sql = `select state || coalesce(': ' || error_message, '') as state from deploys order by id`
    return (await slipway.sql<{ state: string }>(sql)).map(({ state }) => state)
  }
  const body = async (): Promise<string> => (await slipway.get(host)).body.trim()

  it('serves again at once after a rollback, from the containers that it had, without a failed request', async () => {
    await push(good('one', ''))
    const before = await containers()
    await push(good('two', 'keep_warm: 10m'))
    expect(await containers()).toHaveLength(2)
    const visitor = visit(slipway.port, host, ['one', 'two'])
    const log = await run('rollback', 'test', '--no-hold')
    expect(log).toContain('What ran of v1 is still warm: it serves again, and nothing is started')
    expect(log).toMatch(/v3 is live in test after \S+ m?s(?: \(\w[^)]*\))?\n[^]*release=v3 status=live/)
    expect(await body()).toBe('one')
    await waitFor('the broken one to go', 30_000, async () => (await containers()).length === 1)
    expect(await containers()).toEqual(before)
    // A crash of Slipway changes nothing of it.
    await slipway.stop('SIGKILL')
    await slipway.start()
    expect(await visitor.stop()).toEqual([])
    for (const version of ['v1', 'v3']) {
      expect((await slipway.get(`${version}--${host}`)).body.trim()).toBe('one')
    }
  })

  it('serves again by itself when more of the answers are errors than may be', async () => {
    const answer = `#!/bin/sh
read -r _ path _
case $path in /healthz*) code='200 OK' ;; *) code='500 Broken' ;; esac
printf 'HTTP/1.0 %s\\r\\nContent-Length: 0\\r\\n\\r\\n' "$code"
`
    const output = await push({
      Dockerfile:
        'FROM slipway-test/busybox:1\nCOPY answer /\nRUN chmod 755 /answer\nCMD ["/bin/sh", "-c", "exec nc -ll -p $PORT -e /answer"]\n',
      answer,
      'slipway.yml': config('watch: { for: 2m, errors: 20% }'),
    })
    expect(output).toContain('Watched for 2 min: ')
    const visitor = visit(slipway.port, host, ['one'])
    await waitFor(
      'going back by itself',
      60_000,
      async () => (await states()).includes('live') && (await body()) === 'one',
    )
    await visitor.stop()
    await waitFor('the end of the broken one', 30_000, async () => /^reverted: /.test((await states())[3] ?? ''))
    expect((await states())[3]).toMatch(/^reverted: \d+ of \d+ answers \(\d+ %\) were errors while it was watched/)
    expect((await cli.run(['deploys', 'show', '4'])).stdout).toMatch(/reverted/)
    expect(await run('activity')).toMatch(/deploy 4 was gone back from by itself: \d+ of/)
  })

  it('serves again by itself when what went live crashes', async () => {
    await push({
      ...good('three', 'watch: 2m'),
      Dockerfile:
        'FROM slipway-test/busybox:1\nCOPY www /www\nCMD ["/bin/sh", "-c", "httpd -p $PORT -h /www; sleep 10; exit 3"]\n',
    })
    await waitFor('going back by itself', 60_000, async () => (await body()) === 'one')
    await waitFor('the end of the broken one', 30_000, async () => /^reverted: /.test((await states())[5] ?? ''))
    expect((await states())[5]).toBe('reverted: web.1 ended with exit code 3 while it was watched.')
    await waitFor('the broken one to go', 30_000, async () => (await containers()).length === 1)
    expect(await run('status', 'test')).toMatch(/v\d+ .*running|running/)
  })
})
