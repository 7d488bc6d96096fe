import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** A pusher's own clone, with real git. */
export interface Pusher {
  readonly dir: string
  commit(files: Readonly<Record<string, string | Buffer>>): Promise<void>
  /** Pushes HEAD; rejects with git's words when the push or its deploy fails. */
  push(branch: string, ...options: string[]): Promise<string>
  git(...args: string[]): Promise<string>
  remove(): Promise<void>
}

export async function makePusher(remote: string, token: string | null): Promise<Pusher> {
  const dir = await mkdtemp(join(tmpdir(), 'slipway-bench-clone-'))
  const settings: [string, string][] = [
    ['user.name', 'Ada'],
    ['user.email', 'ada@example.org'],
    ['init.defaultBranch', 'main'],
    ['gc.auto', '0'],
    ...(token === null
      ? []
      : [
          ['http.extraHeader', `Authorization: Basic ${Buffer.from(`ada:${token}`).toString('base64')}`] as [
            string,
            string,
          ],
        ]),
  ]
  const env: Record<string, string> = {
    PATH: process.env['PATH'] ?? '',
    HOME: dir,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_CONFIG_COUNT: String(settings.length),
  }
  settings.forEach(([key, value], i) => {
    env[`GIT_CONFIG_KEY_${i}`] = key
    env[`GIT_CONFIG_VALUE_${i}`] = value
  })
  const git = (...args: string[]): Promise<string> =>
    new Promise((done, fail) => {
      execFile('git', args, { cwd: dir, env, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
        if (error === null) done(stdout + stderr)
        else fail(new Error(`git ${args[0] ?? ''} failed:\n${stdout}${stderr}`))
      })
    })
  await git('init', '-q', '.')
  await git('remote', 'add', 'bench', remote)
  return {
    dir,
    git,
    async commit(files) {
      for (const [path, content] of Object.entries(files)) {
        await mkdir(dirname(join(dir, path)), { recursive: true })
        await writeFile(join(dir, path), content)
      }
      await git('add', '-A')
      await git('commit', '-q', '-m', 'change')
    },
    async push(branch, ...options) {
      const output = await git('push', ...options, 'bench', `HEAD:refs/heads/${branch}`)
      if (token !== null && options.length === 0 && !/status=live/.test(output))
        throw new Error(`The deploy did not go live:\n${output}`)
      return output
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  }
}
