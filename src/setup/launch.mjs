/*
 * The first step of `npm start` and `npm test`: plain JavaScript that an older Node (20) runs without any package. It installs the packages
 * of package-lock.json when they are not all there, finds a Node that runs TypeScript, and hands over to it.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
const modules = join(root, 'node_modules')
/** The TypeScript without its types is kept: a server that finds all of it starts quicker and takes 25 MB less, for as long as it runs. */
const compiled = process.env.NODE_COMPILE_CACHE ?? join(modules, '.cache', 'slipway')
const oldestNode = 20
const serverNode = 24

/** What each mode runs, and whether it needs the tools of tests and checks. */
const modes = {
  // The server's memory: with little room for short-lived objects the chunks of large pushes are let go sooner. Peak over a
  // 200 MB push: 154 MB with 4, 141 with 2, 120 with 1, at the same speed.
  start: { file: 'src/setup/start.ts', tools: false, flags: ['--max-semi-space-size=1'] },
  /** For whoever starts the server without this file. */
  compile: { file: 'src/setup/start.ts', tools: false },
  check: { file: 'src/setup/check.ts', tools: true },
  remove: { file: 'src/setup/remove.ts', tools: false },
  bench: { file: 'test/bench/bench.ts', tools: true },
  chaos: { file: 'test/chaos/chaos.ts', tools: true },
  schema: { file: 'src/setup/schema.ts', tools: true },
}

async function main([name = '', ...args]) {
  const mode = modes[name]
  if (mode === undefined) refuse(`Unknown: ${name}. It is one of: ${Object.keys(modes).join(', ')}.`, 2)
  const major = Number(process.versions.node.split('.')[0])
  if (process.platform !== 'linux') refuse(`Slipway runs on Linux; this is ${process.platform}.`)
  if (major < oldestNode) refuse(`Slipway needs Node ${oldestNode} or newer to start; this is ${process.version}.`)
  if (name !== 'compile') await ensureModules(mode.tools)
  const node = major >= serverNode ? process.execPath : findServerNode()
  if (name === 'start' || name === 'compile') await ensureCompiled(node, mode.file)
  if (name === 'compile') return
  process.exitCode = await runServer(node, [...(mode.flags ?? []), join(root, mode.file), ...args])
}

/**
 * In a process of its own, whose memory goes with it; also after an upgrade, because one changed file is enough to load what takes the types
 * out. What cannot be written is no reason not to start.
 */
async function ensureCompiled(node, file) {
  const record = join(compiled, 'made-of')
  const made = sourcesKey(node)
  if (existsSync(record) && readFileSync(record, 'utf8') === made) return
  const code = await runServer(node, [join(root, file), '--compile'])
  if (code === 130 || code === 143) process.exit(code)
  if (code !== 0) return
  try {
    mkdirSync(compiled, { recursive: true })
    writeFileSync(record, made)
  } catch {
    // The next start makes it again.
  }
}

/** Changes with any file of Slipway's, and with the Node that reads them. Node compares what is in the files; this takes a few ms. */
function sourcesKey(node) {
  const source = join(root, 'src')
  const files = readdirSync(source, { recursive: true }).filter((path) => path.endsWith('.ts'))
  const key = createHash('sha256').update(`${root} ${node} ${process.version}`)
  for (const path of files.sort()) {
    const { size, mtimeMs } = statSync(join(source, path))
    key.update(`\n${path} ${size} ${mtimeMs}`)
  }
  return key.digest('hex')
}

function refuse(sentence, code = 1) {
  process.stderr.write(` !     ${sentence}\n`)
  process.exit(code)
}

/**
 * Installs the packages unless all are there; two starts at once do not meet in it. Where some are, only what is missing is added: npm ci
 * would take away what a running server stands on.
 */
async function ensureModules(tools) {
  if (areModulesThere(tools)) return
  // The kernel frees the lock with the descriptor, also when we are killed.
  const lock = openSync(join(root, 'package-lock.json'), 'r')
  spawnSync('flock', ['3'], { stdio: ['ignore', 'ignore', 'inherit', lock] })
  if (!areModulesThere(tools)) {
    // npm ci would empty the folder behind a link, which others stand on.
    if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink() === true) {
      refuse(
        `${modules} is a link to ${readlinkSync(modules)}, where packages of package-lock.json are missing. Install them there, or remove the link.`,
      )
    }
    const record = join(modules, '.package-lock.json')
    const before = existsSync(record) ? readFileSync(record) : null
    const verb = before === null ? ['ci'] : ['install', '--no-save']
    const name = `npm ${verb[0]}`
    const args = [
      ...verb,
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      ...(tools ? [] : ['--omit=dev']),
    ]
    process.stdout.write(`-----> Installing the packages of package-lock.json (${name}) …\n`)
    const begin = Date.now()
    // What npm writes last: an interrupted installation is not taken for a whole one.
    rmSync(record, { force: true })
    const npm = process.env.npm_execpath
    const [command, first] = npm?.endsWith('npm-cli.js') ? [process.execPath, [npm]] : ['npm', []]
    const { status, error } = spawnSync(command, [...first, ...args], { cwd: root, stdio: 'inherit' })
    if (status !== 0) {
      // npm install puts back what was there.
      if (before !== null && error === undefined) writeFileSync(record, before)
      refuse(`${name} failed${error === undefined ? '' : ` (${error.message})`}. Mend what it says above.`)
    }
    if (!areModulesThere(tools)) refuse(`${name} left packages out; is package-lock.json whole?`)
    process.stdout.write(`-----> Installed in ${Math.round((Date.now() - begin) / 1000)} s.\n`)
  }
  closeSync(lock)
}

/** Compares what npm says it installed with what package-lock.json asks for. */
function areModulesThere(tools) {
  const installed = readPackages(join(modules, '.package-lock.json'))
  const wanted = readPackages(join(root, 'package-lock.json'))
  if (wanted === null) refuse('There is no package-lock.json beside package.json: the checkout is not whole.')
  return (
    installed !== null &&
    Object.entries(wanted).every(([path, { version, integrity, optional, dev, devOptional }]) => {
      if (path === '' || (!tools && (dev || devOptional))) return true
      const found = installed[path]
      // Optional ones are there for this processor only.
      if (found === undefined) return optional === true || devOptional === true
      return found.version === version && found.integrity === integrity
    })
  )
}

function readPackages(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages ?? null
  } catch {
    return null
  }
}

function findServerNode() {
  const path = join(modules, `node-linux-${process.arch}`, 'bin', 'node')
  if (existsSync(path)) return path
  refuse(
    `Slipway’s server needs Node ${serverNode}; this is ${process.version}, and npm has none for linux-${process.arch}. Install Node ${serverNode}.`,
  )
}

/** Ctrl-C reaches the whole process group from the terminal: the server ends itself, and we wait for it. */
async function runServer(node, args) {
  const child = spawn(node, args, {
    stdio: 'inherit',
    env: {
      ...process.env,
      PATH: [join(modules, '.bin'), process.env.PATH].join(delimiter),
      NODE_COMPILE_CACHE: compiled,
    },
  })
  process.on('SIGINT', () => undefined)
  process.on('SIGHUP', () => undefined)
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  return new Promise((done) => {
    child.on('error', (error) => refuse(`Node (${node}) cannot be started: ${error.message}.`))
    child.on('close', (code, signal) => done(code ?? (signal === 'SIGINT' ? 130 : signal === 'SIGTERM' ? 143 : 1)))
  })
}

await main(process.argv.slice(2))
