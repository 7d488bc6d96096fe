import { spawn } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { OwnSlipway } from './own-slipway.ts'
import { root } from './root.ts'
import { type CliResult, slipwayFile, userPath, watch } from './slipway-cli.ts'

/** The lines of shell of some chapters of the README, for a test that runs all of them. */
export interface ReadmeLines {
  /** Runs one in a shell, in the folder of the clone, as it stands there. Given is its beginning, up to its comment; it must be there. */
  run(line: string): Promise<CliResult>
  /** Those that nobody has run. */
  left(): string[]
}

/** Git is told of the server by its own sign-in, and `slipway` is a command like any other. */
export async function openReadme(headings: readonly string[], own: OwnSlipway): Promise<ReadmeLines> {
  const { slipway, cli, shop } = own
  const lines = new Map<string, string>()
  for (const heading of headings)
    for (const line of shellLines(await readFile(join(root, 'README.md'), 'utf8'), heading))
      lines.set(line.replace(/\s+#.*$/, ''), line)
  const left = new Set(lines.keys())
  const bin = join(cli.home, 'bin')
  await mkdir(bin)
  await writeFile(join(bin, 'slipway'), `#!/bin/sh\nexec '${process.execPath}' '${slipwayFile}' "$@"\n`, {
    mode: 0o755,
  })
  await cli.run(['login', slipway.controlUrl, '--token', slipway.token, '-y'])
  const env = { PATH: `${bin}:${userPath}`, HOME: cli.home, GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0' }
  return {
    run(line) {
      const whole = lines.get(line)
      if (whole === undefined) throw new Error(`not in the README's ${headings.join(', ')}: ${line}`)
      left.delete(line)
      const here = whole.replaceAll(':8080', `:${slipway.port}`)
      return watch(spawn('sh', ['-c', here], { cwd: shop.dir, env, stdio: ['pipe', 'pipe', 'pipe'] }), '').result
    },
    left: () => [...left],
  }
}

/** What stands in the fences ```sh of a chapter, those below its own headings included. */
export function shellLines(readme: string, heading: string): string[] {
  const lines = readme.split('\n')
  const first = lines.findIndex((line) => line.replace(/^#+ /, '') === heading && line.startsWith('#'))
  if (first === -1) throw new Error(`The README has no chapter ${heading}.`)
  const level = /^#+/.exec(lines[first] ?? '')?.[0].length ?? 0
  const found: string[] = []
  let fence: string | null = null
  for (const line of lines.slice(first + 1)) {
    if (fence === null && new RegExp(`^#{1,${level}} `).test(line)) break
    if (line.startsWith('```')) fence = fence === null ? line.slice(3) : null
    else if (fence === 'sh' && line.trim() !== '') found.push(line)
  }
  return found
}
