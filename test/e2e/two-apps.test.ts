import { describe, expect, it } from '@jest/globals'
import { dockerOf } from '../support/docker.ts'
import { type OwnSlipway, withOwnSlipway } from '../support/own-slipway.ts'
import { type Clone, machineLines, page, type Slipway, waitFor } from '../support/slipway.ts'

/** A template that two customers have, or a fork: one commit, pushed to two apps. */
describe('the same commit in two apps', () => {
  let slipway: Slipway
  let cli: OwnSlipway['cli']
  let shop: Clone
  let commit: string

  withOwnSlipway((own) => void ({ slipway, cli, shop } = own))

  const run = async (app: string, ...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await cli.run([...args, '-a', app])
    expect({ args, code, stderr: code === 0 ? '' : stderr }).toEqual({ args, code: 0, stderr: '' })
    return stdout
  }
  const at = async (host: string, path: string): Promise<string> => (await slipway.get(host, path)).body.trim()
  const builds = (): Promise<{ app: string; commit: string; digest: string; release: number; number: number }[]> =>
    slipway.sql(
      `select a.name as app, b.commit, b.number, b.image ->> 'digest' as digest, r.number as release
       from builds b join apps a on a.id = b.app_id join releases r on r.build_id = b.id order by a.name`,
    )
  const isThere = (digest: string): Promise<boolean> =>
    dockerOf()
      .getImage(digest)
      .inspect()
      .then(
        () => true,
        () => false,
      )

  it('is built for each, with the variables of each, and serves in each under its own names', async () => {
    for (const name of ['blog', 'shop']) expect((await slipway.api('POST', '/apps', { name })).status).toBe(201)
    await run('shop', 'vars', 'set', 'FLAVOUR=vanilla', '--build')
    const { Dockerfile = '', ...rest } = page('same')
    const flavour = 'ARG FLAVOUR=none\nRUN echo "$FLAVOUR" > /www/flavour\n'
    await shop.write({ ...rest, Dockerfile: Dockerfile.replace('CMD', `${flavour}CMD`) })
    commit = await shop.commit('The same')
    const pushes = await Promise.all(
      ['blog', 'shop'].map((app) => shop.git('push', `${slipway.controlUrl}/${app}.git`, 'HEAD:refs/heads/develop')),
    )
    for (const { output } of pushes) expect(machineLines(output)).toMatchObject([{ release: 'v1', status: 'live' }])

    const [ofBlog, ofShop] = await builds()
    expect([ofBlog, ofShop]).toMatchObject([
      { app: 'blog', commit, number: 1, release: 1 },
      { app: 'shop', commit, number: 1, release: 1 },
    ])
    expect(ofBlog?.digest).not.toBe(ofShop?.digest)
    expect(await at('test--blog.localhost', '/')).toBe('same')
    expect(await at('v1--test--shop.localhost', '/')).toBe('same')
    expect([await at('test--blog.localhost', '/flavour'), await at('test--shop.localhost', '/flavour')]).toEqual([
      'none',
      'vanilla',
    ])
    const containers = await dockerOf().listContainers({
      filters: { label: [`slipway.installation=${slipway.installation}`] },
    })
    expect(containers.map(({ Labels, ImageID }) => [Labels['slipway.app'], ImageID]).toSorted()).toEqual([
      ['blog', ofBlog?.digest],
      ['shop', ofShop?.digest],
    ])
  })

  it('is taken for no environment of the other app: each has only its own images', async () => {
    expect(await run('blog', 'deploy', 'live', '--plan')).toContain('Image: that of build 1 (v1 of test) is taken')
    await run('shop', 'vars', 'set', 'FLAVOUR=none', '--build')
    // As blog's image was built; but that one is blog's.
    expect(await run('shop', 'deploy', 'test', '--plan')).toContain('Image: it is built')
  })

  it('stays in one when the other is removed, with all that is needed to start it anew', async () => {
    const [ofBlog, ofShop] = await builds()
    expect(await cli.run(['apps', 'remove', 'shop', '--yes'])).toMatchObject({ code: 0 })
    await waitFor('the image of shop to go', 30_000, async () => !(await isThere(ofShop?.digest ?? '')))
    expect(await isThere(ofBlog?.digest ?? '')).toBe(true)
    expect((await slipway.get('test--shop.localhost')).status).toBe(404)
    expect(await at('test--blog.localhost', '/')).toBe('same')
    expect(await run('blog', 'restart')).toMatch(/release=v1 status=live/)
    expect(await run('blog', 'deploy', 'live', '--commit', commit)).toMatch(/is taken: same commit[^]*v1 status=live/)
    expect(await at('blog.localhost', '/')).toBe('same')
    expect(await run('blog', 'deploy', '--force-rebuild')).toMatch(/release=v2 status=live/)
    expect(await at('test--blog.localhost', '/flavour')).toBe('none')
  })
})
