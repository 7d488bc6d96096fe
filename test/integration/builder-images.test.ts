import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage, makeBaseImage } from '../support/base-image.ts'
import { docker, failure, makeTestBuilds, runIn, type TestBuilds } from '../support/builds.ts'
import { type Registry, startRegistry } from '../support/registry.ts'

const name = `ti${process.pid}`
const builds: TestBuilds = makeTestBuilds(name)
const { builder } = builds
const build: TestBuilds['build'] = (files, options) => builds.build(files, options)
let base = ''

beforeAll(async () => {
  base = await ensureBaseImage()
})
afterAll(() => builds.removeAll())

describe('the image of another app', () => {
  const other = makeTestBuilds(`${name}-other`)
  let secret = { tag: '', id: '', hex: '', step: '' }

  beforeAll(async () => {
    const { image } = await other.build({
      Dockerfile: `FROM ${base} AS made\nRUN echo secret > /secret\nFROM ${base}\nCOPY --from=made /secret /secret\nRUN true`,
    })
    const hex = image.digest.replace('sha256:', '')
    const [step = ''] = await docker('image', 'inspect', '--format', '{{.Parent}}', image.digest)
    const [tag = ''] = await docker('image', 'inspect', '--format', '{{index .RepoTags 0}}', image.digest)
    secret = { tag, id: image.digest, hex, step: step.replace('sha256:', '') }
    // An operator's name for it does not make it anybody's.
    await docker('tag', image.digest, `${name}-alias:1`)
  })
  afterAll(async () => {
    await docker('rmi', `${name}-alias:1`)
    await other.removeAll()
    expect(await other.traces()).toEqual([])
  })
  afterEach(async () => {
    expect(await builds.traces()).toEqual([])
  })

  const ways: [string, () => string][] = [
    ['its tag', () => secret.tag],
    ['its tag with a registry', () => `docker.io/${secret.tag}`],
    ['another tag of it', () => `${name}-alias:1`],
    ['its id', () => secret.id],
    ['its bare id', () => secret.hex],
    ['a short id', () => secret.hex.slice(0, 12)],
    ['a very short id', () => secret.hex.slice(0, 8)],
    ['a short id with its kind', () => `sha256:${secret.hex.slice(0, 12)}`],
    ['the id of one of its steps', () => secret.step],
  ]
  const forms: [string, (image: string) => string][] = [
    ['FROM', (image) => `FROM ${image}\nRUN cat /secret`],
    ['FROM with ARG', (image) => `ARG A=${image}\nFROM \${A:-x}\nRUN cat /secret`],
    ['FROM over lines', (image) => `# escape=\`\nfrom \`\n # x\n ${image}\nRUN cat /secret`],
    ['COPY --from', (image) => `FROM ${base}\nCOPY --chown=0:0 --from=${image} /secret /secret\nRUN cat /secret`],
    [
      'COPY --from in a stage that is not built',
      (image) => `FROM ${base} AS one\nFROM one AS two\nCOPY --from=${image} /secret /`,
    ],
    ['ONBUILD', (image) => `FROM ${base}\nONBUILD COPY --from=${image} /secret /`],
  ]

  it.each(ways)('is refused by %s, wherever it stands', async (_, nameOf) => {
    for (const [form, dockerfile] of forms) {
      for (const pull of ['always', 'missing'] as const) {
        const lines: string[] = []
        const target = form.includes('not built') ? 'one' : null
        const request = { pull, target, onLine: (line: string) => void lines.push(line) }
        const error = await failure(build({ Dockerfile: dockerfile(nameOf()) }, request))
        expect([form, error.code, error.message]).toEqual([
          form,
          'build_failed',
          expect.stringMatching(/^The build was refused: line \d of the Dockerfile: .* Slipway built/),
        ])
        expect(lines).toEqual([])
      }
    }
  })

  it('is refused in the ONBUILD of a local base image', async () => {
    const bad = `${name}-onbuild:1`
    await makeBaseImage(bad, { changes: [`ONBUILD COPY --from=${secret.hex.slice(0, 12)} /secret /secret`] })
    try {
      const error = await failure(build({ Dockerfile: `FROM ${bad}\nRUN cat /secret` }))
      expect(error.message).toMatch(/that Slipway built/)
    } finally {
      await docker('rmi', bad)
    }
  })

  it('is not meant by a harmless ONBUILD', async () => {
    const good = `${name}-onbuild:2`
    await makeBaseImage(good, { changes: ['ONBUILD COPY --from=one /etc/motd /taken', 'ONBUILD RUN echo triggered'] })
    try {
      const { image, lines } = await build({ Dockerfile: `FROM ${base} AS one\nFROM ${good}\nRUN echo last` })
      expect(lines.slice(-3)).toEqual(expect.arrayContaining(['triggered', 'last']))
      expect(await runIn(image.digest, 'cat', '/taken')).toEqual(['base'])
      await builder.removeImage(image.digest)
      await docker('rmi', good)
    } finally {
      await docker('rmi', '-f', good).catch(() => undefined)
    }
  })

  it('is refused where an app’s own image stands too', async () => {
    const { image } = await build({ Dockerfile: `FROM ${base}\nRUN true` })
    expect((await failure(build({ Dockerfile: `FROM ${image.digest}` }))).message).toMatch(/Slipway built/)
    await builder.removeImage(image.digest)
  })

  it('an image without a name is nobody’s to use', async () => {
    const id = await makeBaseImage(null, { motd: `nameless ${name}\n` })
    try {
      const short = id.slice(7, 20)
      expect((await failure(build({ Dockerfile: `FROM ${id}` }))).message).toMatch(/an image without a name/)
      const copy = `FROM ${base}\nCOPY --from=${short} /etc/motd /`
      expect((await failure(build({ Dockerfile: copy }))).message).toMatch(/an image without a name/)
    } finally {
      await docker('rmi', id)
    }
  })
})

describe('a base image of a registry', () => {
  let registry: Registry
  let tag = ''

  /** Pushes a new content under the same tag; the engine's own copy stays as it was. */
  async function publish(motd: string): Promise<void> {
    const local = await docker('images', '-q', '--no-trunc', tag)
    await makeBaseImage(tag, { motd })
    await docker('push', '-q', tag)
    const published = await docker('images', '-q', '--no-trunc', tag)
    if (local[0] === undefined) await docker('rmi', '-f', tag)
    else {
      await docker('tag', local[0], tag)
      await docker('rmi', ...published)
    }
  }

  beforeAll(async () => {
    registry = await startRegistry()
    tag = `${registry.address}/base:1`
  })
  afterAll(async () => {
    await registry.remove()
    for (const image of await docker('images', '-q', '--no-trunc', `${registry.address}/base`))
      await docker('rmi', '-f', image)
  })

  const dockerfile = (): Record<string, string> => ({
    Dockerfile: `FROM ${tag}\nCOPY --from=${tag} /etc/motd /copied\nRUN cat /etc/motd`,
  })

  it('is pulled anew, each time', async () => {
    await publish(`one ${name}\n`)
    const first = await build(dockerfile())
    expect(first.lines.slice(0, 3)).toEqual([`Pulling ${tag}`, `Pulled ${tag} (it is new)`, `Step 1/3 : FROM ${tag}`])
    expect(first.lines.at(-1)).toBe(`one ${name}`)
    const again = await build(dockerfile())
    expect(again.lines[1]).toBe(`Pulled ${tag} (it was up to date)`)
    await publish(`two ${name}\n`)
    const kept = await build(dockerfile(), { pull: 'missing' })
    expect([kept.lines[0], kept.lines.at(-1)]).toEqual([
      `Base image ${tag}: the copy of this host is used, it was not refreshed`,
      `one ${name}`,
    ])
    const second = await build(dockerfile())
    expect(second.lines.at(-1)).toBe(`two ${name}`)
    for (const { image } of [first, again, kept, second]) await builder.removeImage(image.digest)
    expect(await builds.traces()).toEqual([])
  })

  it('that does not answer fails the build, unless a copy may be used', async () => {
    await registry.stop()
    const error = await failure(build(dockerfile()))
    expect([error.code, error.message]).toEqual([
      'unavailable',
      expect.stringContaining(`The registry of the base image ${tag} cannot be reached`),
    ])
    expect(error.hint).toContain('SLIPWAY_BUILD_PULL=missing')
    const { image, lines } = await build(dockerfile(), { pull: 'missing' })
    expect(lines[0]).toContain('it was not refreshed')
    await builder.removeImage(image.digest)
    // One that is not here cannot be had either way.
    const absent = await failure(build({ Dockerfile: `FROM ${registry.address}/absent:1` }, { pull: 'missing' }))
    expect(absent.code).toBe('unavailable')
    await registry.start()
  })

  it('that does not exist is told so', async () => {
    const error = await failure(build({ Dockerfile: `FROM ${registry.address}/base:nope` }))
    expect([error.code, error.message]).toEqual([
      'build_failed',
      `The registry has no base image ${registry.address}/base:nope.`,
    ])
    const unknown = await failure(build({ Dockerfile: `FROM ${base}\nCOPY --from=${registry.address}/nope /a /` }))
    expect(unknown.code).toBe('build_failed')
    expect((await failure(build({ Dockerfile: 'FROM 0123456789abcdef' }))).message).toMatch(
      /The engine has no image 0123456789abcdef/,
    )
  })

  it('by its digest needs no registry when it is here', async () => {
    const [digest = ''] = await docker('image', 'inspect', '--format', '{{index .RepoDigests 0}}', tag)
    await registry.stop()
    const { image, lines } = await build({ Dockerfile: `FROM ${digest}\nRUN true` })
    expect(lines).toHaveLength(2)
    await builder.removeImage(image.digest)
    await registry.start()
  })

  it('is not asked for a local image, nor for one with another name', async () => {
    await registry.stop()
    await docker('tag', tag, `${name}-mine:1`)
    const { image } = await build({ Dockerfile: `FROM ${name}-mine:1\nRUN true` })
    await builder.removeImage(image.digest)
    await docker('rmi', `${name}-mine:1`)
    await registry.start()
  })
})
