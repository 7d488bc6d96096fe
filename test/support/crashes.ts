import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { type Slipway, waitFor } from './slipway.ts'

export interface Line {
  readonly seq: number
  readonly kind: string
  readonly text: string
}

/** A deploy's whole log. Throws when its numbers have a gap. */
export async function readLog(slipway: Slipway, deployId: number): Promise<Line[]> {
  const lines = await slipway.sql<Line>('select seq, kind, text from deploy_log where deploy_id = $1 order by seq', [
    deployId,
  ])
  const broken = lines.find((line, at) => line.seq !== at + 1)
  if (broken !== undefined) throw new Error(`the log of deploy ${deployId} has a gap before line ${broken.seq}`)
  return lines
}

export interface DeployNow {
  readonly id: number
  readonly state: string
  readonly step: string | null
  readonly buildId: number
}

export async function newestDeploy(slipway: Slipway): Promise<DeployNow> {
  const [row] = await slipway.sql<{ id: string; state: string; step: string | null; build_id: string | null }>(
    'select id, state, step, build_id from deploys order by id desc limit 1',
  )
  return { id: Number(row?.id), state: row?.state ?? 'none', step: row?.step ?? null, buildId: Number(row?.build_id) }
}

/** Within a minute of a restart every deploy must have ended. */
export async function untilAllEnded(slipway: Slipway, withinMs = 90_000): Promise<void> {
  await waitFor('all deploys to end', withinMs, async () => {
    const open = await slipway.sql(`select 1 from deploys where state in ('waiting', 'running')`)
    return open.length === 0
  })
}

/** Resolves when nothing drains any more, so that what is left over can be told. */
export async function untilRetired(slipway: Slipway): Promise<void> {
  await waitFor('old releases to be retired', 60_000, async () => {
    const open = await slipway.sql(`select 1 from instances where state in ('starting', 'draining')`)
    return open.length === 0
  })
}

/** Counts the containers of release commands that the engine starts, from now on until it is asked. */
export function countCommands(slipway: Slipway): () => Promise<number> {
  const filters = [
    'event=start',
    `label=slipway.installation=${slipway.installation}`,
    'label=slipway.kind=command',
  ].flatMap((filter) => ['--filter', filter])
  const child: ChildProcess = spawn('docker', ['events', '--format', '{{.ID}}', ...filters], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  let text = ''
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  child.unref()
  return async () => {
    // Events come a moment after what they tell of.
    await new Promise((done) => setTimeout(done, 200))
    child.kill()
    return text.split('\n').filter((line) => line !== '').length
  }
}

/** What the server holds in memory, in MB. */
export async function residentMb(slipway: Slipway): Promise<number> {
  const status = await readFile(`/proc/${slipway.pid()}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
}
