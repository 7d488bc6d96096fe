import { spawn } from 'node:child_process'
import { copyFile, cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SlipwayError } from '../kernel/errors.ts'
import type { Secret } from '../kernel/secret.ts'
import { say, tellError } from '../kernel/tell.ts'

/**
 * Pushes the app `hello` from the built-in boilerplate, as any user would: with git, over HTTP, with the token. What git
 * prints goes to the terminal. Its one program is Debian's static busybox, so that no image registry is needed. A demo that
 * fails does not keep Slipway from running: then false, and git or the deploy has said why.
 */
export async function pushHello(options: { root: string; remote: string; token: Secret }): Promise<boolean> {
  say('Pushing a first app, hello, as you would push yours …')
  const folder = await mkdtemp(join(tmpdir(), 'slipway-hello-'))
  try {
    await cp(join(options.root, 'docker/boilerplates/hello'), folder, { recursive: true })
    await mkdir(join(folder, 'bin'))
    await copyFile('/bin/busybox', join(folder, 'bin/busybox'))
    const git = (...args: string[]): Promise<void> => runGit(args, folder, options.token)
    await git('init', '-q', '-b', 'main', '.')
    await git('add', '-A')
    await git('commit', '-q', '-m', 'Hello from Slipway')
    await git('push', options.remote, 'main')
    return true
  } catch (error) {
    tellError(error)
    return false
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The push waits for its deploy, which has limits of its own and takes seconds. */
const gitMs = 15 * 60_000

/** The token goes by the environment: an argument list can be read by everybody on the machine. */
async function runGit(args: readonly string[], cwd: string, token: Secret): Promise<void> {
  const config = {
    'user.name': 'Slipway',
    'user.email': 'slipway@localhost',
    'credential.helper': '',
    'http.extraHeader': `Authorization: Basic ${Buffer.from(`slipway:${token.reveal()}`).toString('base64')}`,
  }
  const entries: [string, string][] = Object.entries(config).flatMap(([key, value], n) => [
    [`GIT_CONFIG_KEY_${n}`, key],
    [`GIT_CONFIG_VALUE_${n}`, value],
  ])
  const env = {
    PATH: '/usr/local/bin:/usr/bin:/bin',
    HOME: cwd,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    // Slipway is on this machine: never through a proxy.
    NO_PROXY: '*',
    GIT_CONFIG_COUNT: String(Object.keys(config).length),
    ...Object.fromEntries(entries),
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    const child = spawn('git', [...args], { cwd, env, stdio: ['ignore', 'inherit', 'inherit'], timeout: gitMs })
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code !== 0)
    throw new SlipwayError('unavailable', `The app hello was not pushed (git ended with ${String(code)}).`)
}
