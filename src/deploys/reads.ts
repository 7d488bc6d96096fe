import type { Queryable } from '../postgres/database.ts'
import type { DeployState, LogLine } from './deploy.ts'
import { haveAddresses } from './exposures.ts'
import { findExposures } from './exposures-store.ts'
import { lastSeq, readLines } from './log.ts'

/** Questions about deploys that change nothing and wait for nothing. */
export interface DeployReads {
  /** What the log holds now after `after` (0: from the start), oldest first, at most `limit` lines. */
  readLog(deployId: number, page: { after: number; limit: number }): Promise<LogLine[]>
  /** The number of the log's newest line, from which on only what is new comes; 0 when there is none. */
  newestLine(deployId: number): Promise<number>
  /** How many deploys are in each state, over all environments. */
  countByState(): Promise<Readonly<Record<DeployState, number>>>
  /** What the environment's route points to, and since when; null when nothing is live, or it is stopped. */
  findServing(environmentId: number): Promise<ServingRelease | null>
  /** Whether somebody who asks for the release at its own address is answered. */
  hasReleaseAddress(release: { environmentId: number; live: boolean; releaseId: number }): Promise<boolean>
}

interface ServingRelease {
  readonly releaseId: number
  /** Started the instances. */
  readonly deployId: number
  readonly number: number
  readonly commit: string
  readonly since: Date
}

export function makeDeployReads({ db }: { db: Queryable }): DeployReads {
  return {
    readLog: (deployId, page) => readLines(db, deployId, page),
    newestLine: (deployId) => lastSeq(db, deployId),
    async countByState() {
      const rows = await db.query<{ state: DeployState; count: number }>(
        'select state, count(*) as count from deploys group by state',
      )
      const none = { waiting: 0, running: 0, live: 0, reverted: 0, failed: 0, cancelled: 0, superseded: 0 }
      return { ...none, ...Object.fromEntries(rows.map((row) => [row.state, row.count])) }
    },
    async findServing(environmentId) {
      const rows = await db.query<ServingRelease>(
        `select r.id as "releaseId", t.deploy_id as "deployId", r.number, b.commit, t.changed_at as since
         from routes t join releases r on r.id = t.release_id join builds b on b.id = r.build_id
         join environments e on e.id = t.environment_id
         where t.environment_id = $1 and e.state <> 'stopped'`,
        [environmentId],
      )
      return rows[0] ?? null
    },
    async hasReleaseAddress(release) {
      // One that does not run is started for whoever asks.
      const rows = await db.query(
        `select 1 from releases r join builds b on b.id = r.build_id join environments e on e.id = r.environment_id
         where r.id = $1 and e.state = 'active' and b.state = 'succeeded' and b.image_removed_at is null
           and exists (select 1 from deploys d where d.release_id = r.id and d.state in ('live', 'reverted'))`,
        [release.releaseId],
      )
      if (rows.length === 0) return false
      return haveAddresses(release, await findExposures(db, release.environmentId))
    },
  }
}
