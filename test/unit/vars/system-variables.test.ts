import { describe, expect, it } from '@jest/globals'
import { Secret } from '../../../src/kernel/secret.ts'
import { systemVariables } from '../../../src/vars/index.ts'

const around = {
  app: 'shop',
  environment: 'test',
  environmentId: 7,
  live: false,
  releaseNumber: 3,
  branch: 'develop',
  commit: 'c'.repeat(40),
  port: 8000,
  domain: 'test--shop.localhost',
  domainAliases: ['a.example', 'b.example'],
}

describe('systemVariables', () => {
  const key = new Secret('installation')

  it('is what the seeds promise', () => {
    const { SECRET_KEY, ...plain } = systemVariables(around, key)
    expect(SECRET_KEY).toBeInstanceOf(Secret)
    expect(plain).toEqual({
      STAGE: 'test',
      DEBUG: 'True',
      PORT: '8000',
      GIT_BRANCH: 'develop',
      GIT_COMMIT: 'c'.repeat(40),
      SLIPWAY_APP: 'shop',
      SLIPWAY_ENVIRONMENT: 'test',
      SLIPWAY_RELEASE: 'v3',
      DOMAIN: 'test--shop.localhost',
      DOMAIN_ALIASES: 'a.example,b.example',
    })
    expect(systemVariables({ ...around, live: true }, key)['DEBUG']).toBe('False')
  })

  it('derives a key that stays with the environment and differs between environments and installations', () => {
    const reveal = (id: number, master: string): string =>
      (
        systemVariables({ ...around, environmentId: id, releaseNumber: id * 10 }, new Secret(master))[
          'SECRET_KEY'
        ] as Secret
      ).reveal()
    expect(reveal(1, 'a')).toBe(reveal(1, 'a'))
    expect(new Set([reveal(1, 'a'), reveal(2, 'a'), reveal(1, 'b')]).size).toBe(3)
    expect(reveal(1, 'a')).toMatch(/^[A-Za-z0-9_-]{43}$/)
  })
})
