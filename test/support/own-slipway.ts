import { afterAll, beforeAll, expect } from '@jest/globals'
import { ensureBaseImage } from './base-image.ts'
import { type Clone, makeClone, makeSlipway, type Slipway } from './slipway.ts'
import { type Cli, type CliResult, makeCli } from './slipway-cli.ts'

export interface OwnSlipway {
  readonly slipway: Slipway
  /** Signed in as the administrator. */
  readonly cli: Cli
  /** A clone of the app `shop`, which its first push makes. */
  readonly shop: Clone
  /** Runs a verb for that app. */
  readonly run: (...args: string[]) => Promise<CliResult>
  /** The same, expects that it succeeds, and returns what it prints. */
  readonly done: (...args: string[]) => Promise<string>
}

/** One Slipway for the tests of a file, given to `take` before the first. After the last one nothing of it may be left over. */
export function withOwnSlipway(take: (own: OwnSlipway) => void, settings: Record<string, string> = {}): void {
  let slipway: Slipway
  let cli: Cli
  let shop: Clone
  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway(settings)
    await slipway.start()
    cli = await makeCli()
    const login = await cli.run(['login', slipway.controlUrl, '--token', slipway.token, '--no-git'])
    expect(login).toMatchObject({ code: 0 })
    shop = await makeClone(slipway, 'shop')
    const run = (...args: string[]): Promise<CliResult> => cli.run([...args, '-a', 'shop'])
    take({
      slipway,
      cli,
      shop,
      run,
      async done(...args) {
        const { code, stdout, stderr } = await run(...args)
        expect({ args, code, stderr: code === 0 ? '' : stderr + stdout }).toEqual({ args, code: 0, stderr: '' })
        return stdout
      },
    })
  })
  afterAll(async () => {
    await Promise.all([shop.remove(), cli.remove()])
    expect(await slipway.remove()).toEqual([])
  })
}
