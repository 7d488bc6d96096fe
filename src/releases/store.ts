import { SlipwayError } from '../kernel/errors.ts'
import { prepared, type Queryable, type Transaction } from '../postgres/database.ts'

/** A build in one environment, with a number that is never used again. */
export interface Release {
  readonly id: number
  readonly environmentId: number
  readonly number: number
  readonly buildId: number
  readonly createdAt: Date
}

interface ReleaseRow {
  id: number
  environment_id: number
  number: number
  build_id: number
  created_at: Date
}

const columns = 'id, environment_id, number, build_id, created_at'

const toRelease = (row: ReleaseRow): Release => ({
  id: row.id,
  environmentId: row.environment_id,
  number: row.number,
  buildId: row.build_id,
  createdAt: row.created_at,
})

/** Takes the environment's next number: counted by name, so that a re-created environment goes on where the old one was. */
export async function createRelease(tx: Transaction, environmentId: number, buildId: number): Promise<Release> {
  const rows = await tx.query<ReleaseRow>(
    `with next as (
       insert into release_numbers (app_id, environment_name, last_number)
       select app_id, name, 1 from environments where id = $1
       on conflict (app_id, environment_name) do update set last_number = release_numbers.last_number + 1
       returning last_number
     )
     insert into releases (environment_id, number, build_id) select $1, last_number, $2 from next returning ${columns}`,
    [environmentId, buildId],
  )
  return toRelease(rows[0] as ReleaseRow)
}

export async function getRelease(q: Queryable, id: number): Promise<Release> {
  const rows = await q.query<ReleaseRow>(`select ${columns} from releases where id = $1`, [id], prepared)
  if (rows[0] === undefined) throw new SlipwayError('not_found', `There is no release ${id}.`)
  return toRelease(rows[0])
}

/** The oldest release of a build that is there: the build got that one's variables. */
export async function findMaker(q: Queryable, buildId: number): Promise<number> {
  // Not min(id): the planner may then walk through the releases of all environments.
  const rows = await q.query<{ id: number }>('select min(id + 0) as id from releases where build_id = $1', [buildId])
  return (rows[0] as { id: number }).id
}
