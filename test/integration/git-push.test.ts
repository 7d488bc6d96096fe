import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { type Clone, type GitServer, makeClone, startGitServer } from '../support/git-server.ts'

let server: GitServer
let clone: Clone
let app: string
let count = 0

beforeAll(async () => {
  server = await startGitServer()
})
afterAll(() => server.close())
beforeEach(async () => {
  app = `shop${++count}`
  clone = await makeClone(server.remote(app))
  server.deploys.requests.length = 0
})
afterEach(() => {
  clone.remove()
  expect(server.failures.splice(0)).toEqual([])
})

const remoteRefs = async (): Promise<string[]> =>
  (await clone.git('ls-remote', 'divio')).output
    .trim()
    .split('\n')
    .map((line) => line.split('\t')[1] ?? '')

describe('a push', () => {
  it('makes an app that does not exist, with test and live, and deploys to test', async () => {
    const commit = await clone.commit('a.txt', 'a')
    const { code, output } = await clone.git('push', 'divio', 'main')
    expect(output).toContain(`New app ${app}, with the environments test and live`)
    expect(output).toMatch(/remote: -----> Received main \([0-9a-f]{7}\)/)
    expect(output).toContain('remote: -----> Building')
    expect(output).toMatch(/remote: slipway: deploy=\d+ environment=test release=v1 status=live/)
    expect(output).toContain('* [new branch]      main -> main')
    expect(code).toBe(0)
    expect(server.deploys.requests).toMatchObject([{ kind: 'push', branch: 'main', commit, requestedBy: 'admin' }])
    expect(await remoteRefs()).toEqual(['HEAD', 'refs/heads/main'])
  })
})
