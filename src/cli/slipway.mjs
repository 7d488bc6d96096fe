#!/usr/bin/env node
/*
 * The command `slipway`. Plain JavaScript that Node 20 runs: it finds a Node that runs TypeScript (the one that runs this,
 * or the one among this checkout's packages) and hands over to main.ts. Works through links, from any folder.
 */
import { spawn } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = realpathSync(fileURLToPath(import.meta.url))
const root = resolve(here, '../../..')
const wantedNode = 24

function refuse(sentence) {
  process.stderr.write(` !     ${sentence}\n`)
  process.exit(1)
}

/** Runs the same file with a newer Node. What the terminal sends reaches both: we wait for the child and end as it did. */
function handOver() {
  const node = join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node')
  if (!existsSync(node)) {
    refuse(
      `slipway needs Node ${wantedNode} or newer; this is ${process.version}. Install it, or run npm ci in ${root}.`,
    )
  }
  const child = spawn(node, [here, ...process.argv.slice(2)], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => refuse(`Node (${node}) cannot be started: ${error.message}.`))
  child.on('close', (code, signal) => {
    process.exitCode = code ?? { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal] ?? 1
  })
}

if (Number(process.versions.node.split('.')[0]) < wantedNode) {
  handOver()
} else if (!existsSync(join(root, 'node_modules', 'commander'))) {
  refuse(`The packages of slipway are missing. Run npm ci in ${root}.`)
} else {
  // Compiled code is kept in the user's own cache, never in a folder that others can write to.
  nodeModule.enableCompileCache?.(join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'slipway', 'compiled'))
  const { main } = await import('./main.ts')
  await main(process.argv.slice(2), new URL('../../package.json', import.meta.url))
}
