import { describe, expect, it } from '@jest/globals'
import { choosePort } from '../../../src/runtime/index.ts'

describe('the port of an app', () => {
  it.each([
    [3000, [8000], { port: 3000, from: 'slipway.yml' }],
    [null, [8000], { port: 8000, from: 'EXPOSE' }],
    [null, [9000, 8000, 8443], { port: 8000, from: 'EXPOSE' }],
    [null, [], { port: 8080, from: 'default' }],
  ] as const)('configured %j, exposed %j: %j', (port, exposedPorts, chosen) => {
    expect(choosePort({ port }, { exposedPorts })).toEqual(chosen)
  })
})
