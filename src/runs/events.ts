import { appendEvent } from '../kernel/events.ts'
import type { Database, Queryable } from '../postgres/database.ts'
import type { Exit } from '../runtime/index.ts'
import type { Run } from './run.ts'

/* What is told of commands that people run. */

/** Not more than the program: arguments may hold what nobody else should read. */
const toldOf = ({ id, command }: Run) => ({ run: id, command: (command[0] ?? '').slice(0, 100) })

export async function recordStarted(db: Database, run: Run): Promise<void> {
  const { id: environmentId, appId } = run.environment
  await db.transaction((tx) => appendEvent(tx, { kind: 'run.started', appId, environmentId, data: toldOf(run) }))
}

/** @param exit null: it was ended */
export async function recordEnded(db: Database, run: Run, exit: Exit | null): Promise<void> {
  const { id: environmentId, appId } = run.environment
  const data = { ...toldOf(run), ...exit }
  await db.transaction((tx) => appendEvent(tx, { kind: 'run.ended', appId, environmentId, data }))
}

/** A command whose container is all that is left of it, after a crash or a time without an engine. */
export interface LeftRun {
  readonly id: string
  readonly app: string
  readonly environment: string
}

/**
 * Tells that it ended, when its beginning was told and its end was not.
 * @param exitCode null: it was still going, and is ended
 */
export async function recordLeft(db: Database, run: LeftRun, exitCode: number | null): Promise<void> {
  await db.transaction(async (tx) => {
    const told = await listTold(tx, run)
    const started = told.find(({ kind }) => kind === 'run.started')
    if (started === undefined || told.some(({ kind }) => kind === 'run.ended')) return
    const { appId, environmentId, command } = started
    const data = { run: run.id, command, ...(exitCode === null ? {} : { exitCode }) }
    await appendEvent(tx, { kind: 'run.ended', appId, environmentId, by: 'slipway', data })
  })
}

interface Told {
  readonly kind: string
  readonly appId: number
  readonly environmentId: number
  readonly command: string
}

async function listTold(q: Queryable, { id, app, environment }: LeftRun): Promise<Told[]> {
  return q.query(
    `select v.kind, e.app_id as "appId", e.id as "environmentId", v.data->>'command' as command
     from environments e join apps a on a.id = e.app_id join events v on v.app_id = a.id and v.environment = e.name
     where a.name = $2 and e.name = $3 and v.kind in ('run.started', 'run.ended') and v.data->>'run' = $1`,
    [id, app, environment],
  )
}
