import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { untilAllEnded, untilRetired } from '../support/crashes.ts'
import { listPushRemains } from '../support/holdings.ts'
import { waitFor } from '../support/slipway.ts'
import { commandTrace } from './apps.ts'
import type { ChaosApp, World } from './world.ts'

const run = promisify(execFile)

/** From the mending of the last fault until every deploy must have ended. */
const endWithinMs = 60_000
/** Slipway compares all it knows every 30 s. */
const levelWithinMs = 45_000

/** Everything that must hold after a round, when all is mended. Resolves with what does not, in words. */
export async function listBroken(world: World): Promise<string[]> {
  const { slipway } = world
  const broken: string[] = []
  const expect = async (what: string, work: () => Promise<void>): Promise<void> => {
    await work().catch((error: unknown) =>
      broken.push(`${what}: ${error instanceof Error ? error.message : String(error)}`),
    )
  }
  await expect('every deploy has ended a minute after all is mended', () => untilAllEnded(slipway, endWithinMs))
  await expect('what drained is retired', () => untilRetired(slipway))
  await expect('each site answers with what its last live deploy pushed', () => untilSitesAgree(world))
  await expect('database, engine and proxy agree', () => untilLevel(world))
  await expect('nothing of a push is left in the repositories', () => expectNothing(() => listPushRemains(slipway)))
  await expect('no file is left half written', () => expectNothing(() => listHalfWritten(slipway.dataDir)))
  await expect('no release command ran twice', () => expectNothing(() => listDoubleCommands(world)))
  return broken
}

async function expectNothing(list: () => Promise<readonly string[]>): Promise<void> {
  const found = await list()
  if (found.length > 0) throw new Error(found.join(', '))
}

async function untilSitesAgree({ slipway, apps }: World): Promise<void> {
  for (const app of apps) {
    const wanted = await wantedAnswer(app, slipway)
    let last = ''
    const agrees = async (): Promise<boolean> => {
      const { status, body } = await slipway.get(app.host)
      last = `${status} ${body.trim()}`
      return last === `200 ${wanted}`
    }
    await waitFor('it', levelWithinMs, agrees).catch(() => {
      throw new Error(`${app.host} answers ${last} instead of 200 ${wanted}`)
    })
  }
}

/** Each commit's message is what its page says. */
async function wantedAnswer({ name, clone }: ChaosApp, slipway: World['slipway']): Promise<string> {
  const [row] = await slipway.sql<{ commit: string }>(
    `select b.commit from routes r join releases l on l.id = r.release_id join builds b on b.id = l.build_id
     join environments e on e.id = r.environment_id join apps a on a.id = e.app_id
     where a.name = $1 and e.name = 'test'`,
    [name],
  )
  if (row === undefined) throw new Error(`${name} leads nowhere`)
  return (await clone.git('log', '-1', '--format=%s', row.commit)).output.trim()
}

/** Waits, because what was told to nobody is found at the next comparison; the last difference is the failure. */
async function untilLevel(world: World): Promise<void> {
  let found: string[] = []
  const level = async (): Promise<boolean> => {
    found = await listDifferences(world)
    return found.length === 0
  }
  await waitFor('it', levelWithinMs, level).catch(() => {
    throw new Error(found.join('; '))
  })
}

interface Wanted {
  readonly container_id: string
  readonly address: string | null
  readonly port: number
}

async function listDifferences({ slipway, machine }: World): Promise<string[]> {
  const wanted = await slipway.sql<Wanted>(
    `select container_id, host(a.address) as address, port from instances i left join addresses a on a.instance_id = i.id
     where i.state = 'serving'`,
  )
  const taken = await slipway.sql<{ n: number }>(
    'select count(*)::int as n from addresses where instance_id is not null',
  )
  const engine = ['-H', `unix://${machine.engine.socketPath}`]
  const filter = ['--filter', `label=slipway.installation=${slipway.installation}`]
  const ps = await run('docker', [...engine, 'ps', '-aq', '--no-trunc', ...filter], { timeout: 20_000 })
  const targets = wanted.map(({ address, port }) => `${address ?? '?'}:${port}`)
  const maps = await Promise.all(['hosts', 'routes', 'targets'].map((map) => compareMap(slipway.dataDir, map)))
  const led = (maps[2]?.file ?? []).map((line) => line.split(' ')[1] ?? '')
  return [
    ...differ(
      'containers on the engine',
      lines(ps.stdout),
      'instances in the database',
      wanted.map((i) => i.container_id),
    ),
    ...differ('targets of the proxy', led, 'instances in the database', targets),
    ...differ('addresses taken', [String(taken[0]?.n)], 'instances in the database', [String(wanted.length)]),
    ...maps.flatMap(({ name, file, held }) => differ(`map ${name} on disk`, file, 'in the proxy', held)),
  ]
}

function differ(one: string, a: readonly string[], other: string, b: readonly string[]): string[] {
  const [left, right] = [a.toSorted().join(', '), b.toSorted().join(', ')]
  return left === right ? [] : [`${one} [${left}], ${other} [${right}]`]
}

async function compareMap(dataDir: string, name: string): Promise<{ name: string; file: string[]; held: string[] }> {
  const path = join(dataDir, 'proxy/maps', `${name}.map`)
  const file = lines(await readFile(path, 'utf8')).filter((line) => !line.startsWith('#'))
  // Each line begins with the place in the proxy's memory.
  const held = lines(await ask(join(dataDir, 'run/proxy.sock'), `show map ${path}`)).map((line) =>
    line.replace(/^\S+ /, ''),
  )
  return { name, file, held }
}

function ask(path: string, command: string): Promise<string> {
  return new Promise((done, fail) => {
    const socket = connect(path, () => socket.write(`${command}\n`))
    let text = ''
    socket.setTimeout(10_000, () => socket.destroy(new Error('the proxy does not answer on its socket')))
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
    socket.on('error', fail)
    socket.on('end', () => done(text))
  })
}

const lines = (text: string): string[] => text.split('\n').filter((line) => line.trim() !== '')

async function listHalfWritten(dataDir: string): Promise<string[]> {
  const folders = ['.', 'proxy', 'proxy/maps', 'run']
  const names = await Promise.all(folders.map((folder) => readdir(join(dataDir, folder)).catch((): string[] => [])))
  return names.flat().filter((name) => name.endsWith('.tmp'))
}

/** Each run says a line of its own. */
async function listDoubleCommands({ slipway }: World): Promise<string[]> {
  const said = await slipway.sql<{ deploy_id: number | string; text: string }>(
    `select deploy_id, text from deploy_log where text like 'ran %'`,
  )
  const runs = new Map<string, number>()
  for (const { deploy_id, text } of said) {
    if (commandTrace.test(text)) runs.set(String(deploy_id), (runs.get(String(deploy_id)) ?? 0) + 1)
  }
  return [...runs].filter(([, count]) => count > 1).map(([id, count]) => `deploy ${id}: ${count} times`)
}
