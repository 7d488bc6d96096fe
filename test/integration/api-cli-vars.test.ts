import { spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import { makeVars, openKeys } from '../../src/vars/index.ts'
import { type ApiServer, apiSecretKey, someCommit } from '../support/api-server.ts'
import { eventually } from '../support/http-call.ts'
import { withOwnApi } from '../support/own-api.ts'
import { type Cli, type CliResult, slipwayFile, userPath, watch } from '../support/slipway-cli.ts'

let server: ApiServer
let cli: Cli
withOwnApi(async (own) => {
  ;({ server, cli } = own)
  await server.environments.createApp('shop')
  await server.environments.change('shop', 'live', { branch: 'main' })
  server.tips.set('shop/main', someCommit)
})

const vars = (verb: string, ...args: string[]): Promise<CliResult> => cli.run(['vars', verb, '-a', 'shop', ...args])
const from = (input: string, verb: string, ...args: string[]): Promise<CliResult> =>
  cli.run(['vars', verb, '-a', 'shop', ...args], { input })
const get = async (name: string): Promise<string> => (await vars('get', name)).stdout

describe('slipway vars', () => {
  it('sets, lists masked, gets byte for byte, unsets, and says what applies it', async () => {
    const value = ' $HOME "a" \'b\' `c`\n\\n é\u2028'
    const set = await vars('set', `ODD=${value}`, 'EMPTY=', 'EQUALS=a=b')
    expect([set.code, set.stdout]).toEqual([0, 'Set ODD, EMPTY, EQUALS in test of shop.\n'])
    expect(set.stderr).toContain('Not applied yet; the next deploy does: slipway deploy test -a shop')
    expect(await get('ODD')).toBe(value)
    expect(await get('EMPTY')).toBe('')
    expect(await get('EQUALS')).toBe('a=b')
    const list = await vars('list')
    expect(list.stdout).toMatch(/^ODD +\*{8} +run +\d+ s ago by admin$/m)
    expect(list.stdout).not.toContain('HOME')
    const unset = await vars('unset', 'EMPTY', 'EQUALS')
    expect(unset.stdout).toBe('Removed EMPTY, EQUALS in test of shop.\n')
    expect((await vars('get', 'EMPTY')).code).toBe(4)
    const gone = await vars('unset', 'EMPTY')
    expect([gone.code, gone.stderr]).toEqual([4, expect.stringContaining('slipway vars list test')])
    expect((await vars('set', `ODD=${value}`)).stdout).toMatch(/^Nothing to change/)
  })

  it('takes secrets from standard input and never shows them again', async () => {
    const set = await from('line one\nline two\n', 'set', 'KEY', '--secret')
    expect([set.code, set.stdout + set.stderr]).toEqual([0, expect.not.stringContaining('line')])
    const got = await vars('get', 'KEY')
    expect(got.code).toBe(3)
    expect(got.stderr).toMatch(/KEY is secret: its value is never shown again\.\n.*slipway vars set KEY --secret/)
    expect((await vars('list')).stdout).toMatch(/^KEY +\(secret\)/m)
    const keys = await openKeys(server.pool, apiSecretKey)
    const inside = makeVars({ db: server.pool, keys, masks: { add: () => Promise.resolve() } })
    const { id } = await server.environments.get('shop', 'test')
    await inside.change(id, { set: [{ name: 'KEY', value: 'line one\nline two' }], unset: [] }, 'admin').then(
      ({ set: changed }) => expect(changed).toEqual([]), // It is what was given, without the last line end.
    )
    await from('raw\r\n', 'set', 'RAW', '--raw')
    expect(await get('RAW')).toBe('raw\r\n')
    expect((await vars('set', 'PIN=1234', '--secret')).stderr).toContain(
      'PIN is shorter than 6 characters: it is not masked',
    )
    expect((await vars('set', 'API=x', '--build')).stderr).toContain('API stays readable in the history of the images')
    expect((await vars('set', 'DEBUG=1')).stderr).toContain('DEBUG is one that Slipway sets: yours wins.')
  })

  it('exports what imports back byte for byte, and of secrets a comment', async () => {
    const values = { A: 'plain', B: ' a "b" \'c\'\r\n$D `e` \\n#', C: '', D: '# not a comment', E: 'two\nlines' }
    const set = Object.entries(values).map(([name, value]) => `${name}=${value}`)
    expect((await vars('set', '-e', 'live', ...set)).code).toBe(0)
    await vars('set', '-e', 'live', 'F=a-hidden-value', '--secret')
    const exported = await vars('export', 'live')
    expect(exported.stdout).toContain('# F is secret: its value is not exported\n')
    expect(exported.stdout).not.toContain('hidden')
    const file = join(cli.home, 'live.env')
    await writeFile(file, exported.stdout)
    await vars('unset', '-e', 'live', 'A', 'B', 'C', 'D', 'E')
    const imported = await vars('import', file, '-e', 'live')
    expect(imported.stdout).toBe('Set A, B, C, D, E in live of shop.\n')
    expect((await vars('export', 'live')).stdout).toBe(await readFile(file, 'utf8'))
    const json = JSON.parse((await vars('export', 'live', '--json')).stdout) as { name: string; value: string | null }[]
    expect(Object.fromEntries(json.map(({ name, value }) => [name, value]))).toEqual({ ...values, F: null })
  })

  it('refuses what cannot be, in words, and changes nothing', async () => {
    const before = (await vars('export')).stdout
    const cases: [Promise<CliResult>, number, RegExp][] = [
      [vars('set', 'GOOD=1', '1BAD=2'), 2, /“1BAD” cannot be the name of a variable\. Nothing was changed\./],
      [vars('set', 'A-B=2'), 2, /cannot be the name/],
      [from('x'.repeat(1024 * 1024), 'set', 'GOOD'), 2, /GOOD has 1024 KB; the most is 64 KB\. Nothing was changed/],
      [from('a\u0000b', 'set', 'GOOD'), 2, /NUL byte/],
      [vars('set', 'PORT=http'), 2, /PORT must be a number/],
      [from('GOOD=1\nnonsense\n', 'import'), 2, /Standard input, line 2: is not NAME=value/],
      [from('x', 'set', 'GOOD', 'BETTER'), 2, /one after the other/],
      [from('', 'import'), 2, /has no variables/],
      [from('', 'set', 'GOOD'), 2, /Nothing was given as the value of GOOD\. Nothing was changed\.[^]*GOOD=$/m],
      [from('\n', 'set', 'GOOD'), 2, /Nothing was given/],
      [
        vars('import', 'not-there.env'),
        2,
        /not-there\.env cannot be read: there is no such file\. Nothing was changed/,
      ],
      [vars('import', cli.home), 2, /cannot be read: it is a folder/],
      [vars('set', '-e', 'stage', 'GOOD=1'), 4, /has no environment/],
      [vars('set'), 2, /missing required argument/i],
    ]
    for (const [running, code, said] of cases) {
      const refused = await running
      expect([refused.code, refused.stderr]).toEqual([code, expect.stringMatching(said)])
    }
    expect((await vars('export')).stdout).toBe(before)
  })

  it('tells whoever was slower, with exit code 5, and keeps what the other one set', async () => {
    await vars('set', 'RACE=old')
    // It looks at what is there, and then waits for the value.
    const looks = (): number => server.logged.filter(({ fields }) => fields['method'] === 'GET').length
    const before = looks()
    const slow = cli.start(['vars', 'set', 'RACE', '-a', 'shop'], { input: null })
    await eventually(() => looks() > before, 'the look at what is there')
    expect((await vars('set', 'RACE=of the fast one', 'OTHER=1')).code).toBe(0)
    slow.child.stdin?.end('of the slow one')
    const told = await slow.result
    expect([told.code, told.stderr]).toEqual([
      5,
      expect.stringMatching(/RACE was changed by admin at .* Yours was not taken/),
    ])
    expect(await get('RACE')).toBe('of the fast one')
  })

  it.each([
    ['one after the other', ['first value\r', 'second\r']],
    ['pasted at once', ['first value\rsecond\r']],
  ])('asks for each value that is not given, without showing it: %s', async (_name, typed) => {
    const env = { PATH: userPath, HOME: cli.home, GIT_CONFIG_NOSYSTEM: '1' }
    const command = `${process.execPath} ${slipwayFile} vars set ONE TWO -a shop -e live`
    const terminal = watch(spawn('script', ['-qec', command, '/dev/null'], { env }), null)
    for (const [at, answer] of typed.entries()) {
      await terminal.says(at === 0 ? 'ONE: ' : 'TWO: ')
      terminal.child.stdin?.write(answer)
    }
    const { code, stdout } = await terminal.result
    expect([code, stdout]).toEqual([0, expect.stringContaining('Set ONE, TWO in live of shop.')])
    expect(stdout).not.toMatch(/first value|second/)
    expect((await vars('export', 'live')).stdout).toContain("\nONE='first value'\nTWO=second\n")
    await vars('unset', '-e', 'live', 'ONE', 'TWO')
  })

  it('seals everything with another key', async () => {
    await vars('set', 'SEALED=still there')
    const done = await cli.run(['vars', 'rotate-key'])
    expect([done.code, done.stdout]).toEqual([0, 'All variables are sealed with a new key.\n'])
    expect(await get('SEALED')).toBe('still there')
    const short = await cli.run(['vars', 'rotate-key', '--secret-key'], { input: 'too short' })
    expect([short.code, short.stderr]).toEqual([2, expect.stringContaining('must have 32 to 512 visible characters')])
    const key = 'another-secret-key-0000000000000000'
    const other = await cli.run(['vars', 'rotate-key', '--secret-key'], { input: `${key}\n` })
    expect([other.code, other.stderr]).toEqual([0, expect.stringContaining('needs the new key in SLIPWAY_SECRET_KEY')])
    expect(other.stdout + other.stderr).not.toContain(key)
    expect(await get('SEALED')).toBe('still there')
  })

  it('deploys at once with --deploy', async () => {
    const running = cli.start(['vars', 'set', 'NOW=1', '-a', 'shop', '-e', 'live', '--deploy'])
    await running.says('Set NOW in live of shop.')
    const { id } = await server.environments.get('shop', 'live')
    for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((done) => setTimeout(done, 50))) {
      if ((await server.deploys.list(id, { limit: 1 })).length > 0) break
    }
    const [deploy] = await server.deploys.list(id, { limit: 1 })
    expect(deploy).toMatchObject({ commit: someCommit, requestedBy: 'admin' })
    running.child.kill('SIGINT')
    await running.result
  })
})
