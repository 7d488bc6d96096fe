import { statfsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { type Holdings, listHoldings } from '../support/holdings.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway } from '../support/slipway.ts'

/** What a server with too little disk or memory says, as the settings put it; what serves goes on. */
describe('a server with little room', () => {
  let slipway: Slipway
  let shop: Clone
  let before: Holdings
  let freeMb = 0

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway({ SLIPWAY_BUILD_PULL: 'missing' })
    await slipway.start()
    shop = await makeClone(slipway, 'shop')
    await shop.write(page('one'))
    expect((await shop.push('develop')).results).toMatchObject([{ status: 'live' }])
    before = await listHoldings(slipway)
    const { bavail, bsize } = statfsSync(slipway.dataDir)
    freeMb = Math.floor((bavail * bsize) / 1024 ** 2)
  })
  afterAll(async () => {
    await shop.remove()
    expect(await slipway.remove()).toEqual([])
  })

  async function restart(more: Record<string, string>): Promise<void> {
    await slipway.stop()
    await slipway.start(more)
  }

  it('refuses a build below the floor, and a deploy’s end says so', async () => {
    await restart({ SLIPWAY_DISK_FLOOR_MB: String(freeMb * 3) })
    await shop.write(page('two'))
    const { code, output, results } = await shop.push('develop')
    expect(code).toBe(0)
    expect(results).toMatchObject([{ environment: 'test', status: 'failed' }])
    expect(output).toContain('The disk is nearly full: removing what is not needed any more')
    expect(output).toMatch(
      / !     There is too little room on the server’s disk to build: .* data folder \/.* has .* free/,
    )
    expect((await slipway.get('test--shop.localhost')).body).toBe('one\n')
  })

  it('refuses a push below a tenth of it, and the branch does not move', async () => {
    await restart({ SLIPWAY_DISK_FLOOR_MB: String(freeMb * 30) })
    await shop.write(page('three'))
    const { code, output, results } = await shop.push('develop')
    expect(code).toBe(1)
    expect(results).toEqual([])
    expect(output).toMatch(/ !     There is too little room on the server’s disk: /)
    expect(output).toContain('[remote rejected]')
  })

  it('refuses a start that leaves too little memory, and leaves nothing', async () => {
    await restart({ SLIPWAY_MEMORY_FLOOR_MB: '10000000' })
    const { results, output } = await shop.push('develop')
    expect(results).toMatchObject([{ environment: 'test', status: 'failed' }])
    expect(output).toMatch(/ !     The server has too little memory to start it: .* by what the running one uses/)
    expect((await slipway.get('test--shop.localhost')).body).toBe('one\n')
    expect(await listHoldings(slipway)).toMatchObject({ containers: before.containers })
  })

  it('with room again deploys the same commit', async () => {
    await restart({})
    await shop.write(page('four'))
    expect((await shop.push('develop')).results).toMatchObject([{ status: 'live' }])
    expect((await slipway.get('test--shop.localhost')).body).toBe('four\n')
  })
})
