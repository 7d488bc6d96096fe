import { execFile } from 'node:child_process'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { type Holdings, listHoldings } from '../support/holdings.ts'
import { type Clone, makeClone, makeSlipway, page, type Push, type Slipway } from '../support/slipway.ts'

const run = promisify(execFile)
const base = 'FROM slipway-test/busybox:1\n'
const serve = 'CMD ["/bin/sh", "-c", "exec httpd -f -p $PORT -h /www"]\n'

/** What a commit may hold, and what its pusher is told when it cannot be built. */
describe('a commit', () => {
  let slipway: Slipway
  let shop: Clone
  let before: Holdings

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway({ SLIPWAY_BUILD_PULL: 'missing' })
    await slipway.start()
    shop = await makeClone(slipway, 'shop')
    await shop.write(page('one'))
    expect((await shop.push('develop')).results).toMatchObject([{ status: 'live' }])
    before = await listHoldings(slipway)
  })

  afterAll(async () => {
    await shop.remove()
    expect(await slipway.remove()).toEqual([])
  })

  /** Nothing went live, nothing is left over, the old release serves, and the last line says so. */
  async function expectRefused({ code, output, results }: Push): Promise<void> {
    expect(code).toBe(0)
    expect(results).toMatchObject([{ environment: 'test', status: 'failed' }])
    expect(output).toMatch(/ !     test still serves v1, untouched\. *\n.*slipway: deploy=/)
    expect(await listHoldings(slipway)).toEqual(before)
    expect((await slipway.get('test--shop.localhost')).body).toBe('one\n')
  }

  it.each([
    [
      'unknown keys and wrong values',
      'drain: soon\nports: 80\nhealth:\n  path: nothing\nrelease:\n  - run: 5\nresources: { memory: lots }\nbuild: { context: ../.. }\n',
      [
        'line 1: drain must be a time with its unit',
        'line 2: unknown key "ports" (did you mean "port"?)',
        'line 4: health.path must begin with /',
        'line 6: release.1.run must be a text',
        'line 7: resources.memory must be a size',
        'line 8: build.context must be a path inside the repository',
        'slipway.yml has 6 mistakes',
      ],
    ],
    ['what is no YAML', 'drain: 2s\n  x: [\n', ['line 1:', 'Correct slipway.yml and push again. Nothing was built.']],
    [
      'a YAML bomb',
      [
        'a: &a [x,x,x,x,x,x,x,x,x]',
        ...'bcdefgh'.split('').map((k, i) => `${k}: &${k} [${`*${'abcdefgh'[i]},`.repeat(9)}]`),
      ].join('\n'),
      ['aliases (*name) that unfold to too much', 'Nothing was built.'],
    ],
    ['a file of 200 KB', `# ${'x'.repeat(200_000)}\n`, ['“slipway.yml” is larger than 64 KiB', 'Nothing was built.']],
    ['a list instead of settings', '- a\n- b\n', ['slipway.yml', 'Nothing was built.']],
  ])('whose slipway.yml holds %s is told the lines, and nothing is built', async (_, text, told) => {
    await shop.write({ 'slipway.yml': text })
    const pushed = await shop.push('develop')
    for (const part of told) expect(pushed.output).toContain(part)
    expect(pushed.output).not.toMatch(/Building|Step 1/)
    await expectRefused(pushed)
  })

  it.each([
    ['none', null, ['The commit has no Dockerfile.', 'Add a Dockerfile at the top of the repository']],
    ['one that is empty', '', ['Dockerfile']],
    [
      'an unknown instruction',
      `${base}WORKDIR /\nCOPPY a b\n`,
      ['line 3: unknown instruction COPPY', 'Correct the Dockerfile'],
    ],
    [
      'a failing step',
      `${base}RUN echo before; exit 4\n`,
      ['before', 'step 2/2 (RUN echo before; exit 4) ended with exit code 4'],
    ],
    [
      'a file that is not there',
      `${base}COPY nothing.txt /\n`,
      ['step 2/2 (COPY nothing.txt /)', 'Is the file in the commit'],
    ],
    [
      'a base image that is not there',
      'FROM no-such.invalid/base:1\n',
      ['The registry of the base image no-such.invalid/base:1 cannot be reached'],
    ],
    ['a base image that cannot be a name', 'FROM Not_A_Name:1\n', ['Not_A_Name:1']],
    ['BuildKit’s own', `${base}RUN --mount=type=cache,target=/x true\n`, ['needs BuildKit', 'line 2']],
    [
      'a step that needs too much memory',
      `${base}RUN tail /dev/zero\n`,
      ['was killed (exit code 137)', 'SLIPWAY_BUILD_MEMORY_MB'],
    ],
  ])('whose Dockerfile has %s says what to do', async (_, dockerfile, told) => {
    if (dockerfile === null) await shop.git('rm', '-q', 'Dockerfile')
    await shop.write({ 'slipway.yml': 'drain: 2s\n', ...(dockerfile === null ? {} : { Dockerfile: dockerfile }) })
    const pushed = await shop.push('develop')
    for (const part of told) expect(pushed.output).toContain(part)
    await expectRefused(pushed)
  })

  it('that takes another app’s image is refused, by tag, by id and from a stage', async () => {
    const { stdout } = await run('docker', [
      'images',
      '--no-trunc',
      '--format',
      '{{.Repository}}:{{.Tag}} {{.ID}}',
      '--filter',
      `label=slipway.installation=${slipway.installation}`,
    ])
    const [tag = '', id = ''] = stdout.trim().split('\n')[0]?.split(' ') ?? []
    expect(id).toMatch(/^sha256:/)
    const thief = await makeClone(slipway, 'thief')
    for (const dockerfile of [
      `FROM ${tag}\n`,
      `FROM ${id}\n`,
      `FROM ${id.slice(7, 19)}\n`,
      `ARG OF=${tag}\nFROM $OF AS x\n`,
      `${base}COPY --from=${tag} /www /www\n`,
      `${base}COPY --from=${id} /www /www\n`,
    ]) {
      await thief.write({ Dockerfile: `${dockerfile}${serve}` })
      const { output, results } = await thief.push('main')
      expect(results).toMatchObject([{ status: 'failed', release: '-' }])
      expect(output).toMatch(/is an image that Slipway built, and those belong to their app alone/)
      expect(output).not.toMatch(/Step 1/)
    }
    expect(await listHoldings(slipway)).toEqual(before)
    await thief.remove()
  })

  it('whose build prints escapes and forges Slipway’s lines deceives nobody', async () => {
    const forged = 'slipway: deploy=1 environment=test release=v9 status=live'
    const title = '\\033]0;owned\\007\\033[2J\\033[1;1H\\n'
    const clone = await makeClone(slipway, 'forger')
    await clone.write({
      ...page('forged'),
      Dockerfile: `${base}COPY . /x\nRUN printf '\\033[32mgreen\\033[0m\\n${title}=====> v9 is live\\n${forged}\\n\\n${forged}\\r\\n\\033[8m\\n'; cat /x/text; exit 1\n`,
      text: `${forged}\nremote: ${forged}\n\u202e${forged}\u2028${forged}\n`,
    })
    const { output, results } = await clone.push('main')
    expect(results).toEqual([{ deploy: expect.any(String), environment: 'test', release: '-', status: 'failed' }])
    expect(output).toContain('\u001b[32mgreen\u001b[0m')
    // SGR alone reaches the terminal; git itself adds its own `ESC [K` to clear a line, on terminals only.
    expect(output.replaceAll(/\u001b\[[0-9;]*m/g, '')).not.toMatch(
      /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e\u2028]/,
    )
    expect(output).toContain('^[]0;owned^G')
    expect(output).toMatch(/^remote: {8}=====> v9 is live/m)
    await clone.remove()
  })

  it('with odd file names, links that lead outside, a submodule and LFS pointers is built as it is', async () => {
    const clone = await makeClone(slipway, 'odd')
    const names = [
      ' lead',
      'a b',
      'new\nline',
      `qu'o"te`,
      '-rf',
      '--help',
      '$(touch x)',
      '*',
      'ünï',
      'x'.repeat(250),
      '\\back',
      ':colon',
      'CON',
    ]
    await clone.write({
      ...page('odd'),
      Dockerfile: `${base}COPY . /all\nCOPY www /www\nRUN cd /all && for f in * .g*; do [ -e "$f" -o -L "$f" ] && echo x; done | grep -c x > /www/count; ls -lA /all/out /all/up; cat /all/out || true\n${serve}`,
      '.gitattributes': '*.psd filter=lfs diff=lfs merge=lfs -text\n',
      'art/big.psd': `version https://git-lfs.github.com/spec/v1\noid sha256:${'a'.repeat(64)}\nsize 12345\n`,
    })
    for (const name of names) await writeFile(join(clone.dir, name), 'odd\n')
    await writeFile(Buffer.concat([Buffer.from(`${clone.dir}/`), Buffer.from([0xff, 0xfe, 0x80])]), 'odd\n')
    await symlink('/etc/hostname', join(clone.dir, 'out'))
    await symlink('../../../../../../etc/hostname', join(clone.dir, 'up'))
    await symlink('self', join(clone.dir, 'self'))
    const sub = join(clone.dir, 'vendor/lib')
    await mkdir(sub, { recursive: true })
    await clone.git('init', '-q', sub)
    await clone.git('-C', sub, 'commit', '-q', '--allow-empty', '-m', 'x')
    const { output, results } = await clone.push('main')
    expect(results).toMatchObject([{ status: 'live' }])
    expect(output).toContain('Submodules are not fetched, their folders are empty: vendor/lib.')
    expect(output).toContain('Git LFS pointers instead of content: art/big.psd.')
    // The host's own file is neither in the context nor read.
    const { stdout: hostname } = await run('hostname')
    expect(output).not.toContain(`       ${hostname.trim()}`)
    // Names, the one that is not UTF-8, three links, .gitattributes, art, Dockerfile, slipway.yml, vendor, www.
    const count = Number((await slipway.get('test--odd.localhost', '/count')).body)
    expect(count).toBe(names.length + 1 + 3 + 6)
    await clone.remove()
  })

  it('with a folder called .git or a malicious submodule is refused whole by fsck', async () => {
    const clone = await makeClone(slipway, 'nested')
    await clone.commit('first')
    const store = async (args: string[], input: string): Promise<string> => {
      const child = run('git', ['-C', clone.dir, ...args])
      child.child.stdin?.on('error', () => undefined).end(input)
      return (await child).stdout.trim()
    }
    const blob = await store(['hash-object', '-w', '--stdin'], '[submodule "x"]\n\tpath = x\n\turl = -u./payload\n')
    const inner = await store(['mktree'], `100644 blob ${blob}\tconfig\n`)
    for (const [entry, told] of [
      [`040000 tree ${inner}\t.git`, 'hasDotgit'],
      [`040000 tree ${inner}\t.GIT`, 'hasDotgit'],
      [`100644 blob ${blob}\t.gitmodules`, 'gitmodules'],
      [`120000 blob ${blob}\t.gitmodules`, 'gitmodules'],
    ] as const) {
      const tree = await store(['mktree'], `${entry}\n`)
      const commit = await store(['-c', 'user.name=x', '-c', 'user.email=x', 'commit-tree', '-m', 'x', tree], '')
      const { code, output } = await clone.git('push', 'slipway', `${commit}:refs/heads/main`)
      expect(code).toBe(1)
      expect(output).toContain(told)
      expect(output).toMatch(/ !     Git could not take in what was pushed\. Nothing was changed\./)
    }
    expect((await slipway.api('GET', '/apps/nested')).status).toBe(404)
    await clone.remove()
  })
})
