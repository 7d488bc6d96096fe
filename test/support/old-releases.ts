import type { Queryable } from '../../src/postgres/index.ts'

export interface OldRelease {
  readonly deployId: number
  readonly buildId: number
  readonly releaseId: number
}

/** Writes down a deploy that has gone live long ago, with its build and release, as the steps would have. */
export async function addRelease(
  db: Queryable,
  environmentId: number,
  options: { commit?: string; digest?: string; buildId?: number; daysAgo?: number; state?: 'live' | 'failed' } = {},
): Promise<OldRelease> {
  const { commit = 'c'.repeat(40), daysAgo = 1, state = 'live' } = options
  const buildId = options.buildId ?? (await addBuild(db, environmentId, { commit, digest: options.digest, daysAgo }))
  const [release] = await db.query<{ id: number }>(
    `insert into releases (environment_id, number, build_id)
     select $1, coalesce(max(number), 0) + 1, $2 from releases where environment_id = $1 returning id`,
    [environmentId, buildId],
  )
  const releaseId = release?.id as number
  const [deploy] = await db.query<{ id: number }>(
    `insert into deploys (environment_id, kind, commit, requested_by, state, build_id, release_id, created_at, finished_at)
     values ($1, 'push', $2, 'ada', $3, $4, $5, now() - make_interval(days => $6), now() - make_interval(days => $6))
     returning id`,
    [environmentId, commit, state, buildId, releaseId, daysAgo],
  )
  return { deployId: deploy?.id as number, buildId, releaseId }
}

async function addBuild(
  db: Queryable,
  environmentId: number,
  { commit, digest, daysAgo }: { commit: string; digest: string | undefined; daysAgo: number },
): Promise<number> {
  const [build] = await db.query<{ id: number }>(
    `insert into builds (app_id, number, commit, key, config, state, image, created_at, finished_at)
     select e.app_id, coalesce((select max(number) from builds b where b.app_id = e.app_id), 0) + 1, $2, $2, '{}', 'succeeded',
       jsonb_build_object('digest', $3::text, 'sizeBytes', 1, 'exposedPorts', '[]'::jsonb, 'healthcheck', null),
       now() - make_interval(days => $4), now() - make_interval(days => $4)
     from environments e where e.id = $1 returning id`,
    [environmentId, commit, digest ?? `sha256:${commit}${Math.random()}`, daysAgo],
  )
  return build?.id as number
}
