import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { parseAppConfig } from '../../../src/builds/app-config.ts'
import { SlipwayError } from '../../../src/kernel/errors.ts'
import { cpuMsOf } from '../../support/cpu-time.ts'

const full = `
build:
  dockerfile: ./docker/Dockerfile.web
  context: backend/
  target: web
  args: { VERSION: 3, DEBUG: false, NAME: "a b", EMPTY: "" }
  builder: engine
port: 8000
health: { path: /healthz?full=1, status: 204, interval: 500ms, timeout: 1.5s, deadline: 2m }
self_tests: [ "python manage.py check --deploy" ]
release:
  - { label: migrations, run: "python manage.py migrate", on: [deploy] }
  - run: ./warm-up
    timeout: 1h
keep_warm: 10m
watch: { for: 90s, errors: 5% }
drain: 0
stop: 20s
resources: { memory: 1.5g, cpus: 0.5, pids: 100 }
`

function mistakesIn(text: string | null, procfile: string | null = null): string[] {
  try {
    parseAppConfig(text, procfile)
  } catch (error) {
    if (!(error instanceof SlipwayError)) throw error
    expect(error.code).toBe('config_invalid')
    return error.evidence.length > 0 ? [...error.evidence] : [error.message.replace(/^.*?: (.*)\.$/, '$1')]
  }
  throw new Error('it was accepted')
}

describe('slipway.yml', () => {
  it('is optional: the defaults', () => {
    for (const nothing of [null, '', '# only a comment\n', 'build:\nhealth:\n']) {
      expect(parseAppConfig(nothing, null)).toEqual({
        config: {
          build: { dockerfile: 'Dockerfile', context: '.', target: null, args: {}, builder: 'auto' },
          port: null,
          health: { path: null, status: { from: 200, to: 399 }, intervalMs: 1000, timeoutMs: 5000, deadlineMs: 60_000 },
          selfTests: [],
          releaseCommands: [],
          processes: [{ name: 'web', run: null, instances: 1 }],
          cron: [],
          keepWarmMs: 0,
          watch: null,
          drainMs: 30_000,
          stopMs: 10_000,
          resources: { memoryBytes: 512 * 1024 ** 2, cpus: 1, pids: 256 },
        },
        warnings: [],
      })
    }
  })

  it('is read with all its units', () => {
    expect(parseAppConfig(full, null).config).toEqual({
      build: {
        dockerfile: 'docker/Dockerfile.web',
        context: 'backend',
        target: 'web',
        args: { VERSION: '3', DEBUG: 'false', NAME: 'a b', EMPTY: '' },
        builder: 'engine',
      },
      port: 8000,
      health: {
        path: '/healthz?full=1',
        status: { from: 204, to: 204 },
        intervalMs: 500,
        timeoutMs: 1500,
        deadlineMs: 120_000,
      },
      selfTests: ['python manage.py check --deploy'],
      releaseCommands: [
        { label: 'migrations', run: 'python manage.py migrate', on: ['deploy'], timeoutMs: 1_800_000 },
        { label: './warm-up', run: './warm-up', on: ['deploy', 'promote'], timeoutMs: 3_600_000 },
      ],
      processes: [{ name: 'web', run: null, instances: 1 }],
      cron: [],
      keepWarmMs: 600_000,
      watch: { ms: 90_000, errors: 0.05 },
      drainMs: 0,
      stopMs: 20_000,
      resources: { memoryBytes: 1.5 * 1024 ** 3, cpus: 0.5, pids: 100 },
    })
  })

  it('takes the release line of a Procfile when it has none of its own', () => {
    const procfile = 'web: gunicorn app\r\nrelease: python manage.py migrate\r\n'
    expect(parseAppConfig(null, procfile).config.releaseCommands).toEqual([
      { label: 'release', run: 'python manage.py migrate', on: ['deploy', 'promote'], timeoutMs: 1_800_000 },
    ])
    const both = parseAppConfig('release: [ { run: own } ]', procfile)
    expect(both.config.releaseCommands.map((one) => one.run)).toEqual(['own'])
    expect(both.warnings).toEqual([expect.stringContaining('Procfile')])
    expect(parseAppConfig(null, 'web: x\nprerelease: y').config.releaseCommands).toEqual([])
    expect(() => parseAppConfig(null, `release: ${'x'.repeat(5000)}`)).toThrow('Procfile')
  })

  it('tells every mistake at once, with its line', () => {
    const text = `build:
  dockerfil: x
  context: ../other
helth:
  path: /
health:
  path: nope
  status: 99
  interval: 5
port: "8000"
release:
  - label: a
    runs: b
resources: { memory: lots, cpus: none, pids: 1.5 }
self_tests: one
drain: -1s
`
    expect(mistakesIn(text)).toEqual([
      'line 2: unknown key "build.dockerfil" (did you mean "dockerfile"?)',
      'line 3: build.context must be a path inside the repository, without ".."',
      'line 4: unknown key "helth" (did you mean "health"?)',
      'line 7: health.path must begin with / and hold no spaces',
      'line 8: health.status must be an HTTP status such as 204, or a range such as 200-399',
      'line 9: health.interval must be a time with its unit, such as 500ms, 30s or 2m',
      'line 10: port must be a port from 1 to 65535',
      'line 12: release.1.run is missing',
      'line 13: unknown key "release.1.runs" (did you mean "run"?)',
      'line 14: resources.memory must be a size with its unit, such as 512m or 1g',
      'line 14: resources.cpus must be a number such as 0.5 or 2',
      'line 14: resources.pids must be a whole number',
      'line 15: self_tests must be a list of commands',
      'line 16: drain must be a time with its unit, such as 500ms, 30s or 2m',
    ])
  })

  it.each([
    ['a list', '- a', 'slipway.yml must be a mapping (key: value)'],
    ['a text', 'hello', 'slipway.yml must be a mapping (key: value)'],
    ['broken YAML', 'build: {\nport: 1', /^line 2: /],
    ['tabs', 'build:\n\tcontext: .', /^line 2: .*[Tt]ab/],
    ['two documents', 'port: 1\n---\nport: 2', /^line 2: .*documents/],
    ['a repeated key', 'port: 1\nhealth: {}\nport: 2', 'line 3: "port" is given twice'],
    ['a repeated key below', 'build:\n  args:\n    A: 1\n    A: 2', 'line 4: "A" is given twice'],
    ['an unknown tag', 'port: !!js/function "x"', /^line 1: /],
    ['an alias to nothing', 'port: *nothing', /alias/i],
    ['an absolute path', 'build: { dockerfile: /etc/passwd }', /inside the repository/],
    ['an inner way out', 'build: { context: a/../../b }', /inside the repository/],
    ['a command with an escape', 'self_tests: [ "a\\e]0;x" ]', /self_tests.1 must be one line/],
    ['a wrong argument name', 'build: { args: { "A-B": 1 } }', /build.args.A-B must be a name/],
    ['a wrong builder', 'build: { builder: podman }', 'line 1: build.builder must be one of auto, engine, buildkit'],
    ['too small a time', 'health: { interval: 1ms }', 'line 1: health.interval must be between 100ms and 5m'],
    ['too much memory', 'resources: { memory: 4000g }', /between 8m and 1024g/],
    ['a number too big', 'resources: { pids: 1000000 }', 'line 1: resources.pids must be at most 4096'],
    ['too long a watch', 'watch: 2h', 'line 1: watch.for must be between 0 and 1h'],
    ['a share without its sign', 'watch: { for: 1m, errors: 0.2 }', 'line 1: watch.errors must be a share such as 20%'],
    ['a key called __proto__', '__proto__: { port: 1 }', /^line 1: unknown key "__proto__"/],
    [
      'release commands that could take more than a day',
      'port: 80\nrelease: [ { run: a, timeout: 23h }, { run: b, timeout: 61m } ]',
      /^line 2: release may take at most 24h together/,
    ],
    [
      'a text for a list',
      'release: [ { run: a, on: promote } ]',
      'line 1: release.1.on must be a list such as [deploy, promote]',
    ],
    ['a wrong member of a list', 'release: [ { run: a, on: [deploy, push] } ]', /^line 1: release.1.on.2 /],
  ])('refuses %s', (_, text, expected) => {
    const [first = ''] = mistakesIn(text)
    if (typeof expected === 'string') expect(first).toBe(expected)
    else expect(first).toMatch(expected)
  })

  it('shows no control characters of the file in its messages', () => {
    expect(mistakesIn('"a\\e[31m\\u202e": 1').join('')).toMatch(
      /^line 1: unknown key "a\^\[\[31m<U\+202E>"|^line 1: unknown key "a<U\+202E>"/,
    )
  })

  const kib = 64 * 1024
  const times = (count: number, text: (index: number) => string): string =>
    Array.from({ length: count }, (_, i) => text(i)).join('')
  const bombs: Record<string, string> = {
    'one byte too long': `# ${'x'.repeat(kib)}`,
    brackets: '['.repeat(kib),
    braces: '{a: '.repeat(kib / 4),
    'nested lists': '- '.repeat(kib / 2),
    'question marks': '? '.repeat(kib / 2),
    'short keys': times(9000, (i) => `k${i}: 1\n`).slice(0, kib),
    '1,000 keys in one value': `build: { args: { ${times(1001, (i) => `k${i}: 1, `)} } }`,
    'keys of a flow': `{${times(9000, (i) => `k${i},`)}`.slice(0, kib),
    aliases: `a: &a [x,x]\n${times(60, (i) => `b${i}: &b${i} [${`*${i > 0 ? `b${i - 1}` : 'a'},`.repeat(9)}]\n`)}`,
    'ten small aliases': `a: &a0 [x,x,x,x,x,x,x,x]\n${times(9, (i) => `b${i}: &a${i + 1} [${`*a${i},`.repeat(8)}]\n`)}`,
    'merge keys': `a: &a {${times(400, (i) => `k${i}: 1, `)}}\n${times(500, (i) => `b${i}: {<<: *a}\n`)}`,
    'wrong escapes': `a: "${'\\x'.repeat(kib / 2 - 10)}"`,
    'wrong escapes in many values': times(400, (i) => `k${i}: "${'\\x'.repeat(75)}"\n`),
    'line ends in quotes': `a: "${'\n'.repeat(kib - 10)}"`,
    'a folded text': `a:\n${' x\n'.repeat(kib / 3 - 10)}`,
    'a block': `a: |\n${' x\n'.repeat(kib / 3 - 10)}`,
    stairs: times(300, (i) => `${' '.repeat(i)}a:\n`),
    anchors: '&a '.repeat(kib / 3),
    tags: '!a '.repeat(kib / 3),
    documents: '---\n'.repeat(kib / 4),
    commas: `[${','.repeat(kib - 2)}]`,
    colons: ': '.repeat(kib / 2),
    digits: `a: ${'1'.repeat(kib - 10)}`,
    sexagesimal: `a: ${'1:'.repeat(kib / 2 - 10)}`,
    zeros: '\0'.repeat(kib),
  }

  it.each(Object.entries(bombs))('refuses a bomb of %s at once', (_, text) => {
    let mistakes: readonly string[] = []
    // 20 ms on a quiet machine; what explodes takes seconds to minutes.
    expect(cpuMsOf(() => (mistakes = mistakesIn(text)))).toBeLessThan(400)
    expect(mistakes).not.toEqual([])
  })

  it('stands anything: mutated configurations are read or refused, and nothing stalls', () => {
    const pieces = fc.constantFrom(
      ...full.split(/(?<=[\s{}[\]:,"])/),
      '&a ',
      '*a',
      '? ',
      '- ',
      '<<: ',
      '|\n',
      '>\n',
      '!!set ',
      '"',
      "'",
      '#',
      '\t',
    )
    const texts = fc.sample(
      fc.array(pieces, { maxLength: 200 }).map((parts) => parts.join('')),
      { numRuns: 300, seed: 7 },
    )
    for (const text of texts) {
      const spent = cpuMsOf(() => {
        try {
          parseAppConfig(text, text)
        } catch (error) {
          expect(error).toBeInstanceOf(SlipwayError)
        }
      })
      expect(spent).toBeLessThan(400)
    }
  })
})
