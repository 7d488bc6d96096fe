import { z } from 'zod'
import type { Commit } from '../../../git/index.ts'
import type {
  CommitsDifference,
  Cut,
  ReleaseComparison,
  ReleaseDetails,
  ReleaseSummary,
} from '../../../releases/index.ts'
import { isoTime, isoTimeOrNull, time } from '../../schemas.ts'

/** Foreign text; null when the commit is not in the repository any more. */
const commitWords = { author: z.string().nullable(), subject: z.string().nullable() }

export const releaseSchema = z.strictObject({
  environment: z.string(),
  /** `v12` */
  release: z.string(),
  commit: z.string(),
  ...commitWords,
  /** Number of its build, for the app. */
  build: z.number().int(),
  /** `gone`: it was too old to be kept, and nothing starts from it any more. */
  image: z.enum(['kept', 'gone']),
  pinned: z.boolean(),
  /** Requests to its environment are led to it now. */
  serves: z.boolean(),
  /** The deploy that made it: who, and why. */
  deploy: z
    .strictObject({
      id: z.number().int(),
      kind: z.string(),
      /** `live`: it has served. */
      state: z.string(),
      branch: z.string().nullable(),
      requestedBy: z.string(),
      /** Whose image it took; null when it built one. */
      from: z.strictObject({ environment: z.string(), release: z.string() }).nullable(),
      /** The release whose commit was built again for it; null when it was for none. */
      rebuildOf: z.string().nullable(),
    })
    .nullable(),
  createdAt: time,
})

export const releaseDetails = z.strictObject({
  ...releaseSchema.shape,
  digest: z.string(),
  sizeBytes: z.number().int(),
  imageRemovedAt: time.nullable(),
  /** Its own address; null unless it answers. */
  url: z.string().nullable(),
  /** In the words of slipway.yml, defaults filled in. */
  configuration: z.record(z.string(), z.unknown()),
  /** Names. */
  variables: z.array(z.string()),
  /** What serves was started with a value that was revoked then, and has it until it is started anew; null: it was not. */
  revokedAt: time.nullable(),
  /** Of the deploy that made it. */
  steps: z.array(
    z.strictObject({
      step: z.string(),
      outcome: z.string().nullable(),
      startedAt: time,
      finishedAt: time.nullable(),
    }),
  ),
  deploys: z.strictObject({
    total: z.number().int(),
    /** Newest first. */
    newest: z.array(
      z.strictObject({
        id: z.number().int(),
        kind: z.string(),
        state: z.string(),
        requestedBy: z.string(),
        createdAt: time,
      }),
    ),
  }),
})

const side = z.strictObject({ environment: z.string(), release: z.string(), commit: z.string() })
const commitSchema = z.strictObject({ id: z.string(), author: z.string(), at: time, subject: z.string() })

/** The first of them; `total` counts all. */
function cutOf<S extends z.ZodType>(each: S) {
  return z.strictObject({ total: z.number().int(), first: z.array(each) })
}
const differences = cutOf(
  z.strictObject({
    /** As in slipway.yml; what is in a list goes by its name. */
    path: z.string(),
    from: z.string().nullable(),
    to: z.string().nullable(),
  }),
)

export const commitsSchema = cutOf(commitSchema)

export const differencesSchema = z.strictObject({
  /** Null when one of the two is not in the repository any more. */
  commits: z.strictObject({ added: commitsSchema, removed: commitsSchema }).nullable(),
  /** Names. */
  variables: z.strictObject({
    added: z.array(z.string()),
    removed: z.array(z.string()),
    changed: z.array(z.string()),
  }),
  configuration: differences,
  processes: differences,
})

export const comparisonSchema = z.strictObject({
  from: side,
  to: side,
  isSameImage: z.boolean(),
  ...differencesSchema.shape,
})

export function presentRelease(
  release: ReleaseSummary,
  environment: string,
  commit: Commit | undefined,
): z.input<typeof releaseSchema> {
  return {
    environment,
    release: `v${release.number}`,
    commit: release.commit,
    author: commit?.author ?? null,
    subject: commit?.subject ?? null,
    build: release.buildNumber,
    image: release.imageRemovedAt === null ? 'kept' : 'gone',
    pinned: release.pinned,
    serves: release.serves,
    deploy: presentOrigin(release.deploy),
    createdAt: isoTime(release.createdAt),
  }
}

function presentOrigin(deploy: ReleaseSummary['deploy']): z.input<typeof releaseSchema>['deploy'] {
  if (deploy === null) return null
  const { from, rebuildOf } = deploy
  return {
    ...deploy,
    from: from === null ? null : { environment: from.environment, release: `v${from.number}` },
    rebuildOf: rebuildOf === null ? null : `v${rebuildOf}`,
  }
}

export function presentDetails(
  release: ReleaseDetails,
  place: { environment: string; url: string | null },
  commit: Commit | undefined,
): z.input<typeof releaseDetails> {
  return {
    ...presentRelease(release, place.environment, commit),
    digest: release.image.digest,
    sizeBytes: release.image.sizeBytes,
    imageRemovedAt: isoTimeOrNull(release.imageRemovedAt),
    url: place.url,
    configuration: release.configuration,
    variables: [...release.variables],
    revokedAt: isoTimeOrNull(release.revokedAt),
    steps: release.steps.map(({ startedAt, finishedAt, ...step }) => ({
      ...step,
      startedAt: isoTime(startedAt),
      finishedAt: isoTimeOrNull(finishedAt),
    })),
    deploys: {
      total: release.deploys.total,
      newest: release.deploys.newest.map((deploy) => ({ ...deploy, createdAt: isoTime(deploy.createdAt) })),
    },
  }
}

export function presentComparison(
  compared: ReleaseComparison,
  names: { readonly from: string; readonly to: string },
  commits: CommitsDifference<Commit> | null,
): z.input<typeof comparisonSchema> {
  const sideOf = ({ number, commit }: ReleaseSummary, environment: string) => ({
    ...{ environment, commit },
    release: `v${number}`,
  })
  return {
    from: sideOf(compared.from, names.from),
    to: sideOf(compared.to, names.to),
    isSameImage: compared.isSameImage,
    ...presentDifferences(compared, commits),
  }
}

/** What a release, or a deploy that nobody has asked for yet, has otherwise than what serves. */
export function presentDifferences(
  { variables, configuration, processes }: Pick<ReleaseComparison, 'variables' | 'configuration' | 'processes'>,
  commits: CommitsDifference<Commit> | null,
): z.input<typeof differencesSchema> {
  return {
    commits:
      commits === null ? null : { added: presentCommits(commits.added), removed: presentCommits(commits.removed) },
    variables: {
      added: [...variables.added],
      removed: [...variables.removed],
      changed: [...variables.changed],
    },
    configuration: { ...configuration, first: [...configuration.first] },
    processes: { ...processes, first: [...processes.first] },
  }
}

export function presentCommits({ total, first }: Cut<Commit>) {
  return { total, first: first.map((commit) => ({ ...commit, at: isoTime(commit.at) })) }
}
