import { describe, expect, it } from '@jest/globals'
import { DockerfileParser } from 'dockerfile-ast'
import fc from 'fast-check'
import { assertImageAllowed, isImageId, mayBeOutdated, readReference } from '../../../src/builds/dockerfile-images.ts'
import { writeDockerfile } from '../../../src/builds/dockerfile-written.ts'
import { type ImageReference, limitTriggers, readDockerfile, readTriggers } from '../../../src/builds/dockerfile.ts'
import { cpuMsOf } from '../../support/cpu-time.ts'

const read = (text: string, options: { args?: Record<string, string>; target?: string } = {}) =>
  readDockerfile(text, { args: options.args ?? {}, target: options.target ?? null, platform: 'linux/amd64' })
const images = (text: string, args: Record<string, string> = {}): string[] =>
  read(text, { args }).images.map((image) => `${image.role} ${image.name}`)

describe('the images that a Dockerfile names', () => {
  it.each<[string, string, string[]]>([
    ['a plain FROM', 'FROM busybox', ['base busybox']],
    ['in small letters', 'from busybox as x\ncopy --from=evil /a /b', ['base busybox', 'copy evil']],
    ['over continued lines', 'FROM \\\n  busy\\\nbox\nRUN a \\\n# comment\n\n  b\nFROM x', ['base busybox', 'base x']],
    ['with another escape', '# escape=`\nFROM `\n busybox\nRUN dir c:\\\nFROM evil', ['base busybox', 'base evil']],
    ['with both directives', '# syntax=d/f:1\n#escape = `\nFROM a`\nb', ['base ab', 'frontend d/f:1']],
    ['with an escape that comes too late', '# hello\n# escape=`\nFROM a\nRUN x `\nFROM b', ['base a', 'base b']],
    ['behind a BOM and with CRLF', '\ufeffFROM a\r\nRUN b \\\r\n c\r\nFROM d\r\n', ['base a', 'base d']],
    ['behind a comment that looks continued', '# x \\\nFROM b\nRUN x \\\n  # y \\\nFROM z', ['base b']],
    ['in quotes', `FROM "busy"'box'`, ['base busybox']],
    ['with tabs', 'FROM\tbusybox\nCOPY\t--from=evil\ta b', ['base busybox', 'copy evil']],
    ['behind other flags', 'FROM a\nCOPY --chown=1:1 --from=evil a b', ['base a', 'copy evil']],
    ['with a platform', 'FROM --platform=linux/amd64 a\nFROM --platform=$BUILDPLATFORM b', ['base a', 'base b']],
    ['as stages by name', 'FROM a AS one\nFROM One\nCOPY --from=ONE x y', ['base a']],
    ['as stages by number', 'FROM a\nFROM b\nCOPY --from=0 x y', ['base a', 'base b']],
    ['that are stages only later', 'FROM a\nCOPY --from=late x y\nFROM b AS late', ['base a', 'copy late', 'base b']],
    ['that are the stage itself', 'FROM a AS me\nCOPY --from=me x y', ['base a', 'copy me']],
    ['scratch is none', 'FROM scratch\nCOPY a b', []],
    [
      'in ONBUILD',
      'FROM a\nONBUILD COPY --from=evil x y\nonbuild \\\n run --mount=type=bind,from=bad true',
      ['base a', 'trigger evil', 'trigger bad'],
    ],
    ['in mounts', 'FROM a\nRUN --mount=target=/x,from=evil:1,type=bind true', ['base a', 'trigger evil:1']],
    [
      'as ids',
      'FROM a\nCOPY --from=sha256:abc x y\nCOPY --from=0123456789ab x y',
      ['base a', 'copy sha256:abc', 'copy 0123456789ab'],
    ],
    ['from ARG defaults', 'ARG V=1\nARG I=a:$V\nFROM ${I}', ['base a:1']],
    ['from ARG in one line', 'ARG A=x B="y z"\nFROM $A', ['base x']],
    ['with fallbacks', 'ARG A\nFROM ${A:-x}\nFROM ${B-y}\nFROM z${A:+evil}', ['base x', 'base y', 'base z']],
    ['with nested fallbacks', 'ARG T=1\nFROM ${A:-${B:-x:$T}}', ['base x:1']],
    ['with an escaped dollar in ARG', 'ARG A="x"\nFROM ${A}y', ['base xy']],
  ])('%s', (_, text, expected) => {
    expect(images(text)).toEqual(expected)
  })

  it('follow the given arguments', () => {
    expect(images('ARG BASE=a\nFROM $BASE', { BASE: 'evil' })).toEqual(['base evil'])
    expect(images('ARG BASE\nFROM ${BASE:-x}', { BASE: '' })).toEqual(['base x'])
    // Only what is declared counts.
    expect(() => images('FROM $BASE', { BASE: 'evil' })).toThrow('BASE has no value')
    // An ARG inside a stage is not known to FROM.
    expect(() => images('FROM a\nARG B=evil\nFROM $B')).toThrow('line 3: B has no value')
  })

  it('are looked at in stages behind the target too', () => {
    const file = read('FROM a AS one\nFROM b\nCOPY --from=evil x y', { target: 'ONE' })
    expect(file.stages).toHaveLength(1)
    expect(file.images.map((image) => image.name)).toEqual(['a', 'b', 'evil'])
    expect(read('FROM a\nFROM b', { target: '0' }).stages).toHaveLength(1)
  })

  it('are found in the triggers of a base image', () => {
    const stages = read('FROM a AS one\nFROM b').stages
    const triggers = ['COPY --from=one a b', 'COPY --from=evil a b', 'RUN true', 'run --mount=from=bad,target=/x true']
    expect(readTriggers(triggers, stages.slice(0, 1), 2).map((image) => image.name)).toEqual(['evil', 'bad'])
  })

  it.each([
    ['behind an escaped end of line', 'COPY \\\n--from=evil /a /b', 'a control character'],
    ['behind what only the engine takes for a blank', 'LABEL a=b\u0085slipway.build=7', 'a control character'],
    ['that come a stage later', 'ONBUILD COPY --from=evil /a /b', 'ONBUILD ONBUILD is not allowed'],
  ])('are not hidden %s in a trigger', (_what, trigger, message) => {
    expect(() => readTriggers([trigger], [], 1)).toThrow(message)
  })
})

describe('a Dockerfile that cannot be used', () => {
  it.each([
    ['nothing', '', /there is no FROM/],
    ['only comments', '# x\n\n', /there is no FROM/],
    ['an unknown instruction', 'FROM a\n\nFOO x', /line 3: unknown instruction FOO/],
    ['a hard space', 'FROM\u00a0a', /line 1: unknown instruction/],
    ['a hard space in the name', 'FROM a\u00a0b', /line 1: .* is not the name of an image/],
    ['a vertical tab', 'FROM a\n\vFROM b', /line 2: there is a control character/],
    ['a next-line character', 'FROM a\nCOPY --chown=1\u0085--from=evil a b', /line 2: there is a control character/],
    ['a lone carriage return', 'FROM a\nRUN x\rFROM b', /line 2: there is a control character/],
    ['an instruction before FROM', 'RUN x\nFROM a', /line 1: RUN stands before the first FROM/],
    ['an empty instruction', 'FROM a\nRUN', /line 2: RUN needs an argument/],
    ['an ARG without a value', 'ARG BASE\nFROM busybox:$BASE', /line 2: BASE has no value, so the image is not known/],
    ['a form that is not known', 'ARG A=b\nFROM ${A#x}', /line 2: \$\{A#x\} in FROM is a form that is not known/],
    ['a variable in COPY', 'FROM a\nCOPY --from=$X a b', /line 2: .* is not the name of an image/],
    ['a quoted flag', 'FROM a\nCOPY --from="evil" a b', /line 2: COPY has a flag that cannot be read/],
    ['an escaped flag', 'FROM a\nCOPY --fr\\om=evil a b', /line 2: COPY has a flag that cannot be read/],
    ['two dashes', 'FROM a\nCOPY -- --from=evil a b', /line 2: COPY has a flag that cannot be read/],
    ['a stage that is not there', 'FROM a\nCOPY --from=3 a b', /line 2: there is no stage 3/],
    ['the stage itself by number', 'FROM a\nCOPY --from=0 a b', /line 2: there is no stage 0/],
    ['a doubled escape at the end', 'FROM a\nRUN x \\\\\nFROM b', /line 2: a line must not end in/],
    ['a wrong escape', '# escape=x\nFROM a', /line 1: escape must be/],
    ['labels of Slipway', 'FROM a\nLABEL x=1 "slip"way.build=7', /line 2: labels that begin with slipway/],
    ['labels from variables', 'FROM a\nARG N=slipway.build\nLABEL $N=7', /line 3: labels that begin with slipway/],
    ['labels from variables without =', 'FROM a\nENV N=slipway.build\nLABEL $N 7', /label names cannot hold variables/],
    ['labels with a blank in a variable', 'FROM a\nENV N=slipway.build\nLABEL a=b $N${Y:+" "}=7', /label names cannot/],
    ['labels with a quoted blank', 'FROM a\nENV N=slipway.build\nLABEL "a=b $N"\'\'=7 $N" "=7', /label names cannot/],
    ['labels of Slipway in ONBUILD', 'FROM a\nONBUILD LABEL slipway.app=x', /line 2: labels that begin with slipway/],
    ['a path as an image', 'FROM ../x', /line 1: .* is not the name of an image/],
    ['a question mark in an image', 'FROM a?b=c', /line 1: .* is not the name of an image/],
    ['a broken FROM', 'FROM a b c', /line 1: FROM must be/],
  ])('%s', (_, text, message) => {
    expect(() => read(text)).toThrow(
      expect.objectContaining({ code: 'build_failed', message: expect.stringMatching(message) }),
    )
  })

  it('names the missing stage of slipway.yml', () => {
    expect(() => read('FROM a', { target: 'web' })).toThrow('there is no stage web')
  })
})

describe('what only BuildKit can do', () => {
  it.each([
    ['FROM a\nRUN --mount=type=cache,target=/x true', 'RUN --mount'],
    ['FROM a\nCOPY --link a b', 'COPY --link'],
    ['FROM a\nCOPY --chmod=755 a b', 'COPY --chmod'],
    ['FROM a\nADD --checksum=sha256:1 y z', 'ADD --checksum'],
    ['FROM a\nRUN <<EOF\nFROM evil\nEOF', 'a here-document (<<)'],
    ['FROM a\nRUN python <<-"EO F"\nFROM evil\nEO F', 'a here-document (<<)'],
    ['FROM a\nCOPY <<EOF /x\nFROM evil\nEOF', 'a here-document (<<)'],
  ])('%j', (text, what) => {
    expect(read(text).needsBuildkit).toEqual([{ line: 2, what }])
  })

  it.each([
    'FROM a\nRUN cat <<<"x"',
    'FROM a\nRUN echo $((1<<2))',
    'FROM a\nRUN a << b',
    'FROM a\nCOPY --chown=1 --from=b x y',
    '# syntax=docker/dockerfile:1\nFROM a',
  ])('not %j', (text) => {
    expect(read(text).needsBuildkit).toEqual([])
  })
})

describe('the Dockerfile that the engine gets', () => {
  const write = (text: string) =>
    writeDockerfile(read(text), (image) => `id-of-${image.name}`, { 'slipway.build': '7' })

  it('names images by the ids that were looked at, and labels each stage first', () => {
    const text = `# syntax=x/y:1
ARG V=1
FROM a:$V AS one
RUN x \\
  # comment
  y
COPY --from=evil:1 --chown=1 a b
FROM one
COPY --from=ONE a b
FROM scratch
COPY --from=1 a b
ENV x="a b"
`
    const written = write(text)
    expect(written.text).toBe(`# escape=\\
ARG V=1
FROM id-of-a:1 AS one
LABEL "slipway.build"="7" "slipway.base"="id-of-a:1"
RUN x   y
COPY --from=id-of-evil:1 --chown=1 a b
FROM one
LABEL "slipway.build"="7"
COPY --from=0 a b
FROM scratch
LABEL "slipway.build"="7"
COPY --from=1 a b
ENV x="a b"
`)
    expect(written.steps.map((step) => [step.line, step.shown])).toEqual([
      [2, 'ARG V=1'],
      [3, 'FROM a:1 AS one'],
      [3, null],
      [4, 'RUN x   y'],
      [7, 'COPY --from=evil:1 --chown=1 a b'],
      [8, 'FROM one'],
      [8, null],
      [9, 'COPY --from=ONE a b'],
      [10, 'FROM scratch'],
      [10, null],
      [11, 'COPY --from=1 a b'],
      [12, 'ENV x="a b"'],
    ])
  })

  it.each(['FROM a\nRUN b \\', 'FROM a\nRUN b \\ \\', 'FROM a\nRUN b \\ \\\n# c\n\n', '#escape=`\nFROM a\nRUN b ` `'])(
    'never continues on the next line: %j',
    (text) => {
      expect(write(text).text).toMatch(/\nRUN b\n$/)
    },
  )

  it('refuses labels that would need quoting', () => {
    expect(() => writeDockerfile(read('FROM a'), () => 'id', { 'slipway.app': 'a" x="y' })).toThrow('cannot be written')
  })

  it('has one line for each step, whatever the text, and only images that were looked at', () => {
    const pieces = fc.constantFrom(
      'FROM a',
      'from b AS x',
      'COPY --from=',
      'RUN ',
      'evil',
      '\\',
      '`',
      '\n',
      '\n',
      '\n',
      ' ',
      '\t',
      '#',
      '# escape=`\n',
      '<<EOF',
      'EOF',
      '"',
      "'",
      '$A',
      '${A:-evil}',
      'ARG A=',
      'LABEL a=b',
      'ONBUILD ',
      '--',
      '\r\n',
      '\u00a0',
      'COPY a b',
      '--from=0 ',
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 25 }), (parts) => {
        let file
        try {
          file = read(`FROM base\n${parts.join('')}`)
        } catch {
          return
        }
        if (file.needsBuildkit.length > 0) return
        const { text, steps } = writeDockerfile(file, (image) => `id-of-${image.name.replace(/[^a-z]/g, '-')}`, {
          'slipway.build': '7',
        })
        const lines = text.split('\n').slice(1, -1)
        expect(lines).toHaveLength(steps.length)
        for (const line of lines) {
          expect(line.replace(/[ \t]+$/, '').endsWith(file.escape)).toBe(false)
          if (line.startsWith('FROM ')) {
            const [, source = ''] = /^FROM (\S+)(?: AS [a-z0-9_.-]+)?$/.exec(line) ?? []
            const stages = file.stages.map((stage) => stage.name)
            expect([source, source.startsWith('id-of-') || source === 'scratch' || stages.includes(source)]).toEqual([
              source,
              true,
            ])
          }
          if (line.startsWith('COPY --from')) expect(line).toMatch(/^COPY --from=(?:id-of-[a-z-]+|\d+) /)
        }
        // A second reader, written by others, sees the same instructions.
        const seen = DockerfileParser.parse(text)
          .getInstructions()
          .map((one) => one.getKeyword())
        expect(seen).toEqual(steps.map((step) => step.keyword))
      }),
      { numRuns: 3000, seed: 11 },
    )
  })
})

describe('an image that is there', () => {
  const reference = (name: string): ImageReference => ({ name, line: 1, role: 'base', platform: null })
  const image = (given: object) => ({
    id: `sha256:${'ab'.repeat(32)}`,
    tags: ['a:1'],
    digests: [],
    labels: {},
    variables: [],
    triggers: [],
    ...given,
  })

  it('is refused when Slipway made it, or when it has no name', () => {
    expect(() => assertImageAllowed(reference('a:1'), image({}))).not.toThrow()
    expect(() => assertImageAllowed(reference('a:1'), image({ labels: { 'slipway.build': '7' } }))).toThrow(
      'a:1 is an image that Slipway built',
    )
    expect(() => assertImageAllowed(reference('abab'), image({ tags: [] }))).toThrow('without a name')
    expect(() => assertImageAllowed(reference('a:1'), image({ variables: [`A=${'x'.repeat(5000)}`] }))).toThrow(
      'longer',
    )
    expect(() => assertImageAllowed(reference('abab'), image({ tags: [], digests: ['a@sha256:1'] }))).not.toThrow()
  })

  it('may be outdated when it came from the registry that is asked', () => {
    const digests = ['python@sha256:1', '127.0.0.1:5000/x/y@sha256:2']
    const outdated = (name: string): boolean => mayBeOutdated(reference(name), image({ digests }))
    expect(outdated('python:3.12')).toBe(true)
    expect(outdated('docker.io/library/python')).toBe(true)
    expect(outdated('127.0.0.1:5000/x/y:7')).toBe(true)
    expect(outdated('mybase:1')).toBe(false)
    expect(outdated('python@sha256:1')).toBe(false)
  })

  it('is known by its id, and a registry with a port by its name', () => {
    expect(isImageId(reference('abababab'), image({}))).toBe(true)
    expect(isImageId(reference('sha256:abab'), image({}))).toBe(true)
    expect(isImageId(reference('python'), image({}))).toBe(false)
    expect(readReference('localhost:5000/a/b')).toEqual({
      repository: 'localhost:5000/a/b',
      tag: 'latest',
      digest: null,
    })
    expect(readReference('a:1@sha256:2')).toEqual({ repository: 'a', tag: '1', digest: 'sha256:2' })
  })
})

describe('what the engine must not be asked to do', () => {
  it.each([
    'http://127.0.0.1:9300/wake',
    'https://example.org/x',
    '"http://169.254.169.254/"',
    'ht\\tp://x',
    '$URL',
    '${URL}',
    'a ht$X',
    '"a http://x',
  ])('refuses ADD %s, which the engine would fetch from the host’s network', (source) => {
    expect(() => read(`FROM a\nADD ${source} /b`)).toThrow('line 2: ADD cannot fetch')
    expect(() => read(`FROM a\nONBUILD ADD ${source} /b`)).toThrow('line 2: ADD cannot fetch')
    expect(() => readTriggers([`ADD ${source} /b`], [], 1)).toThrow('ADD cannot fetch')
  })

  it.each(['["http://x/", "/b"]', '["\\u0068ttp://x/", "/b"]', '["a", "$X", "/b"]', '["http://x/", "/b"] and more'])(
    'refuses ADD %s',
    (words) => expect(() => read(`FROM a\nADD ${words}`)).toThrow('line 2: ADD'),
  )

  it.each(['a.tar.gz $HOME/', './$FILE /to', 'app-$VERSION.tar /', '["a b", "/c"]', 'httpd.conf /etc/', 'http /x'])(
    'lets ADD %s pass',
    (words) => expect(read(`FROM a\nADD ${words}`).images).toHaveLength(1),
  )

  it.each([
    ['ENV', 'FROM a\nENV A0=0123456789\n', (i: number) => `ENV A${i + 1}=$A${i}$A${i}`],
    ['ENV without =', 'FROM a\nENV A0 0123456789\n', (i: number) => `ENV A${i + 1} \${A${i}} $A${i}`],
    ['itself', 'FROM a\nENV A=0123456789\n', () => 'ENV A=$A$A'],
    ['ARG', 'FROM a\nARG A0=0123456789\n', (i: number) => `ARG A${i + 1}=$A${i}$A${i}`],
    ['ARG before FROM', 'ARG A0=0123456789\n', (i: number) => `ARG A${i + 1}=$A${i}$A${i}`],
  ])('refuses values that double in every %s', (_what, start, line) => {
    const text = `${start}${Array.from({ length: 40 }, (_, i) => line(i)).join('\n')}\nFROM $A40`
    expect(() => read(text)).toThrow('become too long')
  })

  it('counts what the build gives to an ARG as long as it is', () => {
    const text = (env: string): string => `FROM a\nARG LONG\nENV A=${env}`
    const args = { LONG: 'é'.repeat(30_000) }
    expect(() => read(text('$LONG$LONG$LONG'))).not.toThrow()
    expect(() => read(text('$LONG$LONG'), { args })).not.toThrow()
    expect(() => read(text('$LONG$LONG$LONG'), { args })).toThrow('line 3: the values in ENV become too long')
    expect(() => read(`ARG LONG\nFROM a\nARG B=$LONG$LONG$LONG`, { args })).toThrow('line 3')
  })

  it('refuses values that double in the triggers of a stage or of a base image', () => {
    const triggers = Array.from({ length: 40 }, () => 'ENV A=$A$A')
    const onbuild = triggers.map((trigger) => `ONBUILD ${trigger}`).join('\n')
    expect(() => read(`FROM a AS one\nENV A=0123456789\n${onbuild}\nFROM one`)).toThrow('become too long')
    // What is set behind a trigger is there when it runs.
    const late = `FROM a AS one\nONBUILD ENV B=${'$A'.repeat(100)}\nENV A=${'x'.repeat(50_000)}\nFROM one`
    expect(() => read(late)).toThrow('become too long')
    expect(() => limitTriggers(read('FROM a'), () => triggers)).toThrow('become too long')
    const args = { LONG: 'x'.repeat(60_000) }
    expect(() => limitTriggers(read('FROM a\nARG LONG', { args }), () => [])).not.toThrow()
    expect(() =>
      limitTriggers(read('FROM a\nARG LONG', { args }), () => ['ARG LONG', 'ENV A=$LONG$LONG$LONG']),
    ).toThrow()
    expect(() => limitTriggers(read('FROM a'), () => ['ENV A=$A:/x', 'RUN true'])).not.toThrow()
  })

  it('lets variables stand in the values of labels', () => {
    for (const label of ['a=$X', 'version $X', 'a="$X b" c=\'d\' e=${X}-1', 'a=b\\ c']) {
      expect(read(`FROM a\nLABEL ${label}`).stages).toHaveLength(1)
    }
  })

  it('refuses one long value many times in a step', () => {
    expect(() => read(`FROM a\nENV A=${'x'.repeat(50_000)}\nWORKDIR ${'$A'.repeat(1000)}`)).toThrow('become too long')
  })

  it('lets a long PATH grow', () => {
    const lines = Array.from({ length: 100 }, (_, i) => `ENV PATH=/opt/tool-${i}/bin:$PATH`)
    expect(read(`FROM a\n${lines.join('\n')}`).stages).toHaveLength(1)
  })

  it.each([
    ['blanks in a step', (n: number) => `RUN x${' '.repeat(n)}y`],
    ['blanks in a directive', (n: number) => `# a=x${' '.repeat(n)}y`],
    ['escapes at the end', (n: number) => `RUN a${'\\ '.repeat(n / 2)}b\\`],
    ['variables in a label', (n: number) => `LABEL ${'a$'.repeat(n / 2)}`],
    ['stages', (n: number) => 'FROM a\n'.repeat(n / 7)],
  ])('is quick with a million %s', (_what, line) => {
    const text = line(1_000_000)
    const spent = cpuMsOf(() => {
      try {
        read(text.startsWith('#') ? `${text}\nFROM a` : `FROM a\n${text}`)
      } catch {
        // Refused is right too.
      }
    })
    expect(spent).toBeLessThan(2_000)
  })
})
