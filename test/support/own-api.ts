import { afterAll, beforeAll, expect } from '@jest/globals'
import type { HttpLimits } from '../../src/http/needs.ts'
import { type ApiServer, startApiServer } from './api-server.ts'
import { type Cli, makeCli } from './slipway-cli.ts'

export interface OwnApi {
  readonly server: ApiServer
  /** Signed in as the administrator. */
  readonly cli: Cli
}

/** One API server and one command line for the tests of a file, given to `take` before the first. */
export function withOwnApi(take: (own: OwnApi) => void | Promise<void>, limits: Partial<HttpLimits> = {}): void {
  let server: ApiServer
  let cli: Cli
  beforeAll(async () => {
    server = await startApiServer(limits)
    cli = await makeCli()
    const login = await cli.run(['login', server.url, '--token', server.token.reveal(), '-y'])
    expect(login).toMatchObject({ code: 0 })
    await take({ server, cli })
  })
  afterAll(async () => {
    await server.remove()
    await cli.remove()
  })
}
