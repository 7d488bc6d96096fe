import { spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Flaw, flaws } from './flaws.ts'

/*
 * `node test/support/schedules/find-flaws.ts [MOST] [WORDS]`: puts each flaw (those with these words in their name) into a
 * copy of the code and plays schedules on it until one is broken, at most so many. Exit 1 when one is not found.
 */

const root = join(import.meta.dirname, '../../..')
const [most = '5000', words = ''] = process.argv.slice(2)

const copy = await mkdtemp(join(tmpdir(), 'slipway-flaws-'))
try {
  for (const folder of ['src', 'test/support', 'package.json'])
    await cp(join(root, folder), join(copy, folder), { recursive: true })
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'))
  for (const flaw of flaws.filter(({ name }) => name.includes(words))) {
    const found = await findFlaw(flaw)
    if (found === null) process.exitCode = 1
    console.log(`${found === null ? 'NOT FOUND' : `found by ${found}`.padEnd(9)}  ${flaw.name}`)
  }
} finally {
  await rm(copy, { recursive: true, force: true })
}

/** What found it; null when nothing did. */
async function findFlaw({ name, file, from, to }: Flaw): Promise<string | null> {
  const path = join(copy, file)
  const text = await readFile(path, 'utf8')
  if (text.split(from).length !== 2) throw new Error(`“${name}”: ${file} does not have it once: ${from}`)
  try {
    await writeFile(
      path,
      text.replace(from, () => to),
    )
    const { code, output } = await play()
    if (code === 0) return null
    const [seed] = /^seed \d+:\n.*/m.exec(output) ?? [output.trim().split('\n').at(-1) ?? '']
    const [, count] = /"schedules":(\d+)/.exec(output) ?? []
    return `${count ?? 'the first'} (${seed.replace(/\s+/g, ' ').slice(0, 120)})`
  } finally {
    await writeFile(path, text)
  }
}

function play(): Promise<{ code: number | null; output: string }> {
  const cli = join(copy, 'test/support/schedules/cli.ts')
  const child = spawn(process.execPath, [cli, most, '1', 'until-broken'], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', (data: Buffer) => (output += data.toString()))
  child.stderr.on('data', (data: Buffer) => (output += data.toString()))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output }))
  })
}
