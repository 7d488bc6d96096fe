import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { makeClone, makeSlipway, page, type Slipway } from '../support/slipway.ts'

/** The whole way with nothing replaced: git, Slipway's own process, engine, proxy and database. */
describe('a push', () => {
  let slipway: Slipway

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway()
    await slipway.start()
  })

  afterAll(async () => {
    expect(await slipway.remove()).toEqual([])
  })

  it('to an app that is not there makes it and goes live at its address and its release’s', async () => {
    const clone = await makeClone(slipway, 'shop')
    await clone.write(page('one'))
    const pushed = await clone.push('develop')
    expect(pushed.output).toMatch(/New app shop, with the environments test and live/)
    expect(pushed.results).toEqual([{ deploy: expect.any(String), environment: 'test', release: 'v1', status: 'live' }])
    expect(pushed.code).toBe(0)
    expect(await slipway.get('test--shop.localhost')).toMatchObject({ status: 200, body: 'one\n' })
    expect(await slipway.get('v1--test--shop.localhost')).toMatchObject({ status: 200, body: 'one\n' })
    expect((await slipway.get('shop.localhost')).status).toBe(404)

    await clone.write({ 'www/index.html': 'two\n' })
    expect((await clone.push('develop')).results).toMatchObject([{ release: 'v2', status: 'live' }])
    expect((await slipway.get('test--shop.localhost')).body).toBe('two\n')

    await clone.write({
      Dockerfile: 'FROM slipway-test/busybox:1\nCMD ["/bin/sh", "-c", "echo broken on purpose; exit 7"]\n',
    })
    const broken = await clone.push('develop')
    expect(broken.results).toMatchObject([{ release: 'v3', status: 'failed' }])
    expect(broken.output).toMatch(/exit code 7/)
    expect(broken.output).toMatch(/broken on purpose/)
    expect(broken.output).toMatch(/test still serves v2, untouched/)
    expect((await slipway.get('test--shop.localhost')).body).toBe('two\n')
    await clone.remove()
  })

  it('of a branch that nobody follows is kept, and says how to deploy it', async () => {
    const clone = await makeClone(slipway, 'shop')
    await clone.write(page('three'))
    const pushed = await clone.push('feature/x')
    expect(pushed.code).toBe(0)
    expect(pushed.results).toEqual([])
    expect(pushed.output).toMatch(/slipway envs set test --branch feature\/x/)
    expect((await clone.git('ls-remote', 'slipway')).output).toMatch(/refs\/heads\/feature\/x/)
    await clone.remove()
  })

  it('leaves sites serving when Slipway is interrupted, and the next start finds them', async () => {
    expect(await slipway.stop('SIGINT')).toBe(0)
    expect((await slipway.get('test--shop.localhost')).body).toBe('two\n')
    const down = await slipway.get('slipway.localhost')
    expect(down.status).toBe(503)
    expect(down.headers['retry-after']).toBeDefined()
    await slipway.start()
    expect((await slipway.get('test--shop.localhost')).body).toBe('two\n')
    expect((await slipway.get('slipway.localhost', '/readyz')).status).toBe(200)
  })
})
