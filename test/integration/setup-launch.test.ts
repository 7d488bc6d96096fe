import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, lstat, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'

const run = promisify(execFile)
// A checkout with the real launcher, one small package and a server that tells what it is given.
const server = `
import { greeting } from 'greeting'
if (process.argv.includes('--compile')) {
  console.log('compiled')
  process.exit()
}
process.on('SIGINT', () => setTimeout(() => process.exit(7), 200))
process.on('SIGTERM', () => process.exit(9))
setInterval(() => undefined, 1000)
console.log(greeting, process.argv.slice(2).join(' '), process.version)
`
let root: string
const launched: ChildProcess[] = []
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'slw-launch-'))
  await mkdir(join(root, 'src/setup'), { recursive: true })
  await mkdir(join(root, 'greeting'))
  await copyFile('src/setup/launch.mjs', join(root, 'src/setup/launch.mjs'))
  await writeFile(join(root, 'src/setup/start.ts'), server)
  const dependency = { name: 'greeting', version: '1.0.0', type: 'module', exports: './index.js' }
  await writeFile(join(root, 'greeting/package.json'), JSON.stringify(dependency))
  await writeFile(join(root, 'greeting/index.js'), 'export const greeting = "ready"')
  const dependencies = { greeting: 'file:greeting' }
  await writeFile(join(root, 'package.json'), JSON.stringify({ name: 'x', type: 'module', dependencies }))
  await run('npm', ['install', '--package-lock-only', '--ignore-scripts', '--no-audit'], { cwd: root })
})
afterEach(async () => {
  for (const child of launched.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid as number), 'SIGKILL')
  }
  await rm(root, { recursive: true })
})

describe('npm start’s launcher', () => {
  it('installs the packages once, and again when they are not whole or not those of package-lock.json', async () => {
    expect(await outputOfStart()).toContain('npm ci')
    expect(await outputOfStart()).not.toContain('npm ci')
    // npm writes this file last.
    await rm(join(root, 'node_modules/.package-lock.json'))
    expect(await outputOfStart()).toContain('npm ci')
    const lock = await readFile(join(root, 'package-lock.json'), 'utf8')
    await writeFile(
      join(root, 'greeting/package.json'),
      '{"name":"greeting","version":"1.0.1","type":"module","exports":"./index.js"}',
    )
    await writeFile(join(root, 'package-lock.json'), lock.replaceAll('1.0.0', '1.0.1'))
    expect(await outputOfStart()).toContain('(npm install)')
    expect(await outputOfStart()).not.toContain('Installing')
  })

  it('installs nothing through a link: what is behind it belongs to others', async () => {
    const shared = join(root, 'shared')
    await mkdir(join(shared, 'theirs'), { recursive: true })
    await symlink(shared, join(root, 'node_modules'))
    const starting = launch()
    expect(await starting.ended).toBe(1)
    expect(starting.output()).toContain(`is a link to ${shared}`)
    expect(existsSync(join(shared, 'theirs'))).toBe(true)
    expect((await lstat(join(root, 'node_modules'))).isSymbolicLink()).toBe(true)
  })

  it('adds the tools of tests to a running server’s packages without taking one of them away', async () => {
    await mkdir(join(root, 'tool'))
    await writeFile(join(root, 'tool/package.json'), '{"name":"tool","version":"1.0.0"}')
    const given = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as object
    await writeFile(join(root, 'package.json'), JSON.stringify({ ...given, devDependencies: { tool: 'file:tool' } }))
    await run('npm', ['install', '--package-lock-only', '--ignore-scripts', '--no-audit'], { cwd: root })
    await writeFile(join(root, 'src/setup/check.ts'), 'console.log("ready to check")\n')
    expect(await outputOfStart()).toContain('npm ci')
    // npm ci would make everything anew.
    const madeAt = async (): Promise<number> => (await lstat(join(root, 'node_modules/greeting'))).birthtimeMs
    const before = await madeAt()
    const lock = await readFile(join(root, 'package-lock.json'), 'utf8')
    const checking = launch([], 'check')
    expect(await checking.ended).toBe(0)
    expect(checking.output()).toContain('(npm install)')
    expect(existsSync(join(root, 'node_modules/tool'))).toBe(true)
    expect(await madeAt()).toBe(before)
    expect(await readFile(join(root, 'package-lock.json'), 'utf8')).toBe(lock)
    expect(await outputOfStart()).not.toContain('Installing')
  })

  it('installs once when two start at the same moment', async () => {
    const outputs = await Promise.all([outputOfStart(), outputOfStart()])
    expect(outputs.filter((output) => output.includes('npm ci'))).toHaveLength(1)
    for (const output of outputs) expect(output).toContain('ready')
  })

  it('hands on arguments, and on Ctrl-C waits for the server and ends with its code', async () => {
    const started = launch(['--no-demo'])
    expect(await started.ready).toMatch(/^ready --no-demo v\d+/m)
    process.kill(-(started.child.pid ?? 0), 'SIGINT')
    expect(await started.ended).toBe(7)
  })

  it('passes SIGTERM on to the server', async () => {
    const started = launch()
    await started.ready
    started.child.kill('SIGTERM')
    expect(await started.ended).toBe(9)
  })

  it('loads everything once before the first start, and again when a file is another one', async () => {
    expect(await outputOfStart()).toMatch(/^compiled$[^]*^ready/m)
    expect(await outputOfStart()).not.toContain('compiled')
    await writeFile(join(root, 'src/more.ts'), 'export {}\n')
    expect(await outputOfStart()).toContain('compiled')
    expect(await outputOfStart()).not.toContain('compiled')
    await writeFile(join(root, 'src/more.ts'), 'export const more = 1\n')
    const alone = launch([], 'compile')
    expect(await alone.ended).toBe(0)
    expect(alone.output()).toBe('compiled\n')
    expect(await outputOfStart()).not.toContain('compiled')
  })

  it('starts also when nothing can be loaded beforehand', async () => {
    await writeFile(join(root, 'src/setup/start.ts'), server.replace('process.exit()', 'process.exit(1)'))
    expect(await outputOfStart()).toContain('ready')
    expect(await outputOfStart()).toContain('compiled')
  })

  it('says that the installation failed, and is not content with it afterwards', async () => {
    await writeFile(
      join(root, 'package.json'),
      '{"name":"x","dependencies":{"greeting":"file:greeting","more":"file:more"}}',
    )
    const started = launch()
    expect(await started.ended).toBe(1)
    expect(started.output()).toContain(' !     npm ci failed')
    expect(existsSync(join(root, 'node_modules/.package-lock.json'))).toBe(false)
  })
})

async function outputOfStart(): Promise<string> {
  const { child, ready, ended, output } = launch()
  await ready
  child.kill('SIGTERM')
  await ended
  return output()
}

/** `ready` resolves with the server's line, or with everything when it ended without. */
function launch(
  args: string[] = [],
  mode = 'start',
): {
  child: ChildProcess
  ready: Promise<string>
  ended: Promise<number | null>
  output: () => string
} {
  const child = spawn(nodePath(), [join(root, 'src/setup/launch.mjs'), mode, ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: { ...process.env, npm_execpath: '', NODE_COMPILE_CACHE: join(root, 'compiled') },
  })
  launched.push(child)
  let output = ''
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  const ready = new Promise<string>((resolve) => {
    const keep = (chunk: Buffer): void => {
      output += chunk.toString()
      if (/^ready/m.test(output)) resolve(output)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    void ended.then(() => resolve(output))
  })
  return { child, ready, ended, output: () => output }
}

function nodePath(): string {
  const own = join(process.cwd(), `node_modules/node-linux-${process.arch}/bin/node`)
  return existsSync(own) ? own : process.execPath
}
