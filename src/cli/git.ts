import { spawn } from 'node:child_process'
import { exits, Failure } from './failure.ts'
import { isLoopbackHost } from './server-url.ts'

const gitMs = 10_000

export interface GitResult {
  /** null when git is not there or did not end in time. */
  readonly code: number | null
  readonly stdout: string
}

/** Runs git in the current folder; never asks anything on the terminal. */
export function runGit(args: readonly string[], input = ''): Promise<GitResult> {
  return new Promise((resolve) => {
    const env = { ...process.env, GIT_TERMINAL_PROMPT: '0', GIT_ASKPASS: '', SSH_ASKPASS: '', LC_ALL: 'C' }
    const git = spawn('git', [...args], { stdio: ['pipe', 'pipe', 'ignore'], env, timeout: gitMs })
    let stdout = ''
    git.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString('utf8')))
    git.stdin.on('error', () => undefined)
    git.on('error', () => resolve({ code: null, stdout: '' }))
    git.on('close', (code) => resolve({ code, stdout }))
    git.stdin.end(input)
  })
}

/** The app that the current folder is pushed to on this server. */
export async function findAppOfFolder(origin: string): Promise<string> {
  const { stdout } = await runGit(['remote', '-v'])
  const remotes = parseRemotes(stdout)
  const apps = [...new Set(remotes.map((remote) => appOfRemote(remote.url, origin)).filter((app) => app !== null))]
  if (apps.length === 1 && apps[0] !== undefined) return apps[0]
  if (apps.length > 1) {
    throw new Failure(
      exits.wrongUse,
      `This folder is pushed to several apps: ${apps.join(', ')}.`,
      'Say which: -a NAME',
    )
  }
  const others = remotes.map((remote) => `${remote.name} (${withoutUser(remote.url)})`)
  throw new Failure(
    exits.wrongUse,
    `Which app? No Git remote of this folder leads to ${origin}${others.length === 0 ? '' : `, only ${others.join(', ')}`}.`,
    `Say it with -a NAME, or add the remote: git remote add divio ${origin}/NAME.git`,
  )
}

export interface Remote {
  readonly name: string
  readonly url: string
}

/** `git remote -v`: name, tab, URL, and which direction. */
export function parseRemotes(text: string): Remote[] {
  const remotes = new Map<string, Remote>()
  for (const line of text.split('\n')) {
    const match = /^([^\t]+)\t(.+) \((?:fetch|push)\)(?: \[.*\])?$/.exec(line)
    if (match?.[1] !== undefined && match[2] !== undefined)
      remotes.set(`${match[1]} ${match[2]}`, { name: match[1], url: match[2] })
  }
  return [...remotes.values()]
}

/** `shop` for http://…/shop.git of this server, and for its SSH URLs; null for any other. */
export function appOfRemote(remote: string, origin: string): string | null {
  const server = new URL(origin)
  const scp = /^[^/@:]+@([^/:]+):(?!\/)(.+)$/.exec(remote)
  const url = scp === null ? remote : `ssh://git@${scp[1] ?? ''}/${scp[2] ?? ''}`
  if (!URL.canParse(url)) return null
  const its = new URL(url)
  const isHttp = its.protocol === server.protocol && its.host === server.host
  const bothLoopback = isLoopbackHost(its.hostname) && isLoopbackHost(server.hostname)
  const isSsh = its.protocol === 'ssh:' && (its.hostname === server.hostname || bothLoopback)
  if (!isHttp && !isSsh) return null
  return /^\/([a-z][a-z0-9-]{0,29})(?:\.git)?\/?$/.exec(its.pathname)?.[1] ?? null
}

function withoutUser(remote: string): string {
  return remote.replace(/^([a-z+]+:\/\/)[^/@]*@/i, '$1')
}
