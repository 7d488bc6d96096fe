import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from '@jest/globals'
import { readDockerfile, type Step } from '../../../src/builds/dockerfile.ts'
import { packagesFor } from '../../../src/setup/packages.ts'
import { type Part, readCompose, type Service } from '../../support/compose.ts'

const file = readDockerfile(readFileSync('docker/Dockerfile', 'utf8'), {
  args: {},
  target: null,
  platform: 'linux/amd64',
})
const [build = [], last = []] = file.stages.map((stage) => stage.steps)
const wordsOf = (steps: readonly Step[], keyword: string): string[][] =>
  steps.filter((step) => step.keyword === keyword).map((step) => step.rest.split(/\s+/))

describe('the Dockerfile of Slipway’s own image', () => {
  it('has npm in its first stage only', () => {
    expect(file.stages).toHaveLength(2)
    expect(wordsOf(build, 'RUN').flat()).toContain('npm')
    expect(wordsOf(last, 'RUN').flat()).not.toContain('npm')
  })

  it('installs all that a server needs', () => {
    const needed = packagesFor({ tests: false, demo: false, ownPostgres: true, engineIsThere: true })
    expect(needed).toContain('haproxy')
    expect(wordsOf(last, 'RUN').flat()).toEqual(expect.arrayContaining(needed))
  })

  it('takes from the checkout what is there and .dockerignore lets through, and can do without BuildKit', () => {
    const taken = wordsOf(build, 'COPY').flatMap((words) => words.slice(0, -1))
    const allowed = readFileSync('.dockerignore', 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('!'))
    expect(taken.map((path) => `!${path}`).sort()).toEqual(allowed.sort())
    expect(taken.filter((path) => !existsSync(path))).toEqual([])
    expect(file.needsBuildkit).toEqual([])
  })
})

describe('docker/compose.yml', () => {
  const services = readCompose()
  const parts = Object.entries(services) as [Part, Service][]

  it('builds each part under a name of its own, so that one can be renewed without the others', () => {
    expect(new Set(parts.map(([, { image }]) => image)).size).toBe(3)
    for (const [, { build: how }] of parts)
      expect(how).toMatchObject({ context: '..', dockerfile: 'docker/Dockerfile' })
  })

  it.each(parts)('gives %s only what is named', (_, service) => {
    expect(service.cap_drop).toEqual(['ALL'])
    expect(service.security_opt).toContain('no-new-privileges:true')
    expect(service.read_only).toBe(true)
    expect(service).not.toHaveProperty('privileged')
  })

  it('gives the engine’s socket, and the network’s and the kernel’s settings, to Slipway alone', () => {
    for (const [part, { volumes, cap_add }] of parts) {
      const rights = ['NET_ADMIN', 'SYS_ADMIN'].filter((name) => cap_add.includes(name))
      expect([part, rights.length, volumes.length]).toEqual([part, ...(part === 'slipway' ? [2, 2] : [0, 1])])
    }
  })

  it.each(parts)('starts in %s a file that is there', (_, { command }) => {
    const files = command.join(' ').match(/\/opt\/slipway\/\S+/g) ?? []
    expect(files).toHaveLength(1)
    expect(existsSync(files[0]?.replace('/opt/slipway/', '') ?? '')).toBe(true)
  })
})
