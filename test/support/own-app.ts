import { afterAll, afterEach, beforeAll, beforeEach, expect } from '@jest/globals'
import {
  type Clone,
  expectNothingLeft,
  type GitServer,
  type GitServerOptions,
  makeClone,
  startGitServer,
} from './git-server.ts'

export interface OwnApp {
  readonly server: GitServer
  /** Its remote is `divio`. */
  readonly clone: Clone
  readonly app: string
}

/**
 * One Git server for the tests of a file, and for each of them the name of an app and a clone, given to `take` before it.
 * After it nothing of its pushes may be left over, and nothing have failed inside that it did not expect.
 */
export function withOwnApp(take: (own: OwnApp) => void, options: GitServerOptions = {}): void {
  let server: GitServer
  let clone: Clone
  let count = 0
  beforeAll(async () => {
    server = await startGitServer(options)
  })
  afterAll(() => server.close())
  beforeEach(async () => {
    const app = `shop${++count}`
    clone = await makeClone(server.remote(app))
    server.deploys.requests.length = 0
    take({ server, clone, app })
  })
  afterEach(async () => {
    clone.remove()
    await expectNothingLeft(server)
    expect(server.failures.splice(0)).toEqual([])
  })
}
