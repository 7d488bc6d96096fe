import { readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import { describe, expect, it } from '@jest/globals'
import { readSettings } from '../../src/config.ts'

describe('readSettings', () => {
  it('has safe defaults', () => {
    const settings = readSettings({})
    expect(settings).toMatchObject({
      domain: 'localhost',
      controlHost: 'slipway.localhost',
      httpPort: 8080,
      bind: '127.0.0.1',
      adminToken: null,
    })
    expect(settings.build.pull).toBe('always')
  })

  it('tells all mistakes at once, by name', () => {
    const read = (): unknown =>
      readSettings({
        SLIPWAY_HTTP_PORT: '99999',
        SLIPWAY_NETWORK: 'ten',
        SLIPWAY_HTPT_PORT: '80',
        SLIPWAY_ADMIN_TOKEN: 'short',
      })
    expect(read).toThrow(/SLIPWAY_HTTP_PORT.*SLIPWAY_NETWORK.*SLIPWAY_ADMIN_TOKEN.*SLIPWAY_HTPT_PORT is not a setting/s)
  })

  it('never prints a secret', () => {
    const settings = readSettings({
      SLIPWAY_ADMIN_TOKEN: 'very-secret-token-here',
      DATABASE_URL: 'postgres://u:pass@h/d',
    })
    expect(inspect(settings) + JSON.stringify(settings)).not.toMatch(/very-secret|pass@/)
    expect(settings.adminToken?.reveal()).toBe('very-secret-token-here')
  })

  it('is documented whole in .env.example, and nothing else is', () => {
    const source = readFileSync('src/config.ts', 'utf8')
    const inSchema = [...source.matchAll(/^ {2}((?:SLIPWAY_|DATABASE_|DOCKER_)[A-Z_]+):/gm)].map((m) => m[1])
    const launcher = ['SLIPWAY_YES', 'SLIPWAY_URL', 'SLIPWAY_TOKEN']
    const inExample = [...readFileSync('.env.example', 'utf8').matchAll(/^#? ?([A-Z_]+)=/gm)].map((m) => m[1])
    expect(inExample.sort()).toEqual([...inSchema, ...launcher].sort())
  })

  it('can be set for the containers of docker/compose.yml, but for what they bring along and secrets', () => {
    const inSchema = [...readFileSync('src/config.ts', 'utf8').matchAll(/^ {2}(SLIPWAY_[A-Z_]+):/gm)].map((m) => m[1])
    const secrets = ['SLIPWAY_SECRET_KEY', 'SLIPWAY_ADMIN_TOKEN']
    const passed = [...readFileSync('docker/compose.yml', 'utf8').matchAll(/^ {4}(SLIPWAY_[A-Z_]+):/gm)].map(
      (m) => m[1],
    )
    expect([...passed, ...secrets].sort()).toEqual(inSchema.sort())
  })
})
