import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, expect, it } from '@jest/globals'
import { pack } from 'tar-stream'
import { filterContext } from '../../../../src/adapters/docker/context.ts'
import { readIgnoreRules } from '../../../../src/builds/index.ts'

const extra = async (dockerignore: string | null) => [{ name: '.dockerignore', text: dockerignore ?? 'none' }]

/** Goes through the filter in pieces of `size` bytes. */
async function filtered(tar: Buffer, rules: string, size = 1000): Promise<Buffer> {
  const pieces = Array.from({ length: Math.ceil(tar.length / size) }, (_, i) => tar.subarray(i * size, (i + 1) * size))
  const out: Buffer[] = []
  await pipeline(Readable.from(pieces), filterContext(readIgnoreRules(rules), extra), async (stream) => {
    for await (const chunk of stream) out.push(chunk as Buffer)
  })
  return Buffer.concat(out)
}

/** Names as `tar` sees them, with its quoting of odd bytes. */
const list = (tar: Buffer, ...options: string[]): string[] =>
  execFileSync('tar', ['-t', '--quoting-style=escape', ...options], { input: tar, maxBuffer: 64 * 1024 ** 2 })
    .toString()
    .split('\n')
    .filter((line) => line !== '')

const contentOf = (tar: Buffer, name: string): string =>
  execFileSync('tar', ['-xO', '-f', '-', '--', name], { input: tar }).toString('latin1')

/** `git archive` of files given as name → content; a content that begins with -> is a link. */
function archive(files: [name: string | Buffer, content: string][], committedAt = 1_700_000_000): Buffer {
  const date = `@${committedAt} +0000`
  const folder = mkdtempSync(join(tmpdir(), 'slipway-context-'))
  const git = (...args: string[]): Buffer =>
    execFileSync(
      'git',
      ['-C', folder, '-c', 'user.name=t', '-c', 'user.email=t@t', '-c', 'core.quotePath=false', ...args],
      {
        maxBuffer: 64 * 1024 ** 2,
        env: { PATH: process.env['PATH'], GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date },
      },
    )
  try {
    for (const [name, content] of files) {
      const path = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name)])
      mkdirSync(path.subarray(0, path.lastIndexOf('/')), { recursive: true })
      if (content.startsWith('->')) symlinkSync(content.slice(2), path)
      else writeFileSync(path, content)
    }
    git('init', '-q')
    git('add', '-A')
    git('commit', '-q', '-m', 'x')
    return git('archive', '--format=tar', 'HEAD')
  } finally {
    rmSync(folder, { recursive: true })
  }
}

describe('the build context', () => {
  const long = `${'d'.repeat(120)}/${'e'.repeat(120)}/${'f'.repeat(250)}`
  const files: [string | Buffer, string][] = [
    ['a b.txt', 'A'],
    ['new\nline', 'N'],
    ['-rf', 'dash'],
    [Buffer.from('latin-\xe9\xff', 'latin1'), 'L'],
    ['ünï.txt', 'U'],
    ['n'.repeat(250), '250'],
    [long, 'long'],
    ['out', '->/etc/passwd'],
    ['up', '->../../x'],
    [`to-long`, `->${'t/'.repeat(150)}x`],
    ['src/main.py', 'print()'],
    ['src/secret.txt', 'S'],
    ['logs/a.log', 'log'],
    ['big', 'x'.repeat(100_000)],
    ['empty', ''],
  ]
  const tar = archive(files)

  it.each([1, 7, 511, 512, 513, 10_240, 1_000_000])('keeps every name and byte, cut in pieces of %i', async (size) => {
    const small = size < 100 ? archive(files.filter(([name]) => name !== 'big')) : tar
    const out = await filtered(small, '', size)
    expect(list(out)).toEqual([...list(small), '.dockerignore'])
    // Links, modes, sizes and times too.
    expect(list(out, '-v').slice(0, -1)).toEqual(list(small, '-v'))
    expect(contentOf(out, long)).toBe('long')
    if (size >= 100) expect(contentOf(out, 'big')).toBe('x'.repeat(100_000))
  })

  it.each([0, 2 ** 31, 2 ** 33, 99_999_999_999_999])(
    'can be read whatever time its commit tells: %s',
    async (committedAt) => {
      const out = await filtered(archive([['a', 'A']], committedAt), '')
      expect(list(out)).toEqual(['a', '.dockerignore'])
      expect(contentOf(out, '.dockerignore')).toBe('none')
    },
  )

  it('leaves out what the rules ignore, with its long names', async () => {
    const out = await filtered(tar, 'src/*\n!src/main.py\nlogs\n*.txt\nddd*/**\nn*\nout\nto-long\nlatin*')
    expect(list(out)).toEqual(
      ['-rf', 'big', `${'d'.repeat(120)}/`, 'empty', 'src/', 'src/main.py', 'up', '.dockerignore'].sort(byTar(tar)),
    )
    expect(contentOf(out, 'src/main.py')).toBe('print()')
  })

  it('hands the app’s own .dockerignore on, once', async () => {
    const own = archive([
      ['.dockerignore', 'x\n'],
      ['a', 'A'],
      ['sub/.dockerignore', 'sub'],
    ])
    const out = await filtered(own, 'x')
    expect(list(out)).toEqual(['a', 'sub/', 'sub/.dockerignore', '.dockerignore'])
    expect(contentOf(out, '.dockerignore')).toBe('x\n')
    expect(list(out, '-v', '--utc').at(-1)).toContain('2023-11-14')
    expect(contentOf(await filtered(own, '.dockerignore'), '.dockerignore')).toBe('none')
    const linked = archive([
      ['.dockerignore', '->/etc/passwd'],
      ['a', 'A'],
    ])
    const safe = await filtered(linked, '')
    expect(list(safe)).toEqual(['a', '.dockerignore'])
    expect(contentOf(safe, '.dockerignore')).toBe('none')
  })

  it('drops devices, pipes and ways out', async () => {
    const archive = pack()
    archive.entry({ name: 'dev', type: 'character-device', devmajor: 1, devminor: 3 })
    archive.entry({ name: 'fifo', type: 'fifo' })
    archive.entry({ name: '../out' }, 'x')
    archive.entry({ name: '/etc/x' }, 'x')
    archive.entry({ name: 'a/../../b' }, 'x')
    archive.entry({ name: './ok' }, 'ok')
    archive.finalize()
    const chunks: Buffer[] = []
    for await (const chunk of archive) chunks.push(chunk as Buffer)
    expect(list(await filtered(Buffer.concat(chunks), ''))).toEqual(['./ok', '.dockerignore'])
  })

  it('tells when the archive stops in the middle of a file', async () => {
    await expect(filtered(tar.subarray(0, 3000), '')).rejects.toThrow('ended in the middle')
  })

  it('passes an error of the rules on', async () => {
    const rules = {
      ignores: () => {
        throw new Error('too many')
      },
    }
    const run = pipeline(Readable.from([tar]), filterContext(rules, extra), async (stream) => {
      await stream[Symbol.asyncIterator]().next()
    })
    await expect(run).rejects.toThrow('too many')
  })

  it('does not read on while nobody takes what it has', async () => {
    let read = 0
    const endless = new Readable({
      read() {
        read += tar.length
        this.push(tar.subarray(0, tar.length - 10_240 - (tar.length % 512)))
      },
    })
    const filter = filterContext(readIgnoreRules(''), extra)
    endless.pipe(filter)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(read).toBeLessThan(10 * tar.length)
    endless.destroy()
    filter.destroy()
  })
})

/** The order of the archive, extras at the end. */
function byTar(tar: Buffer): (a: string, b: string) => number {
  const order = list(tar)
  const at = (name: string): number => (order.includes(name) ? order.indexOf(name) : order.length)
  return (a, b) => at(a) - at(b)
}
