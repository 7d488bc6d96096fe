import { createHmac } from 'node:crypto'
import { SlipwayError } from '../kernel/errors.ts'
import { Secret } from '../kernel/secret.ts'
import type { Database, Queryable, Transaction } from '../postgres/database.ts'
import type { Freshness } from './freshness.ts'
import type { SealingKeys } from './keys.ts'
import type { Masks } from './mask/masks.ts'
import { assertNotRevoked } from './revoked.ts'
import * as store from './store.ts'
import { openValue } from './vars.ts'

/** The variables of releases: those of their environment as they were when the release was made. They never change, but for
 * values that are revoked. */
export interface ReleaseVariables {
  /** The environment's as they are now, to be kept with a release. */
  read(q: Queryable, environmentId: number): Promise<Snapshot>
  /** Those of a release as they were kept with it; not to be given to anything that prints. */
  readOf(q: Queryable, releaseId: number): Promise<Snapshot>
  /** In the transaction that makes the release. Throws `conflict` for a value that was revoked. */
  keep(tx: Transaction, releaseId: number, snapshot: Snapshot): Promise<void>
  /** What a build of these gets. Throws `config_invalid` for a secret: an image’s history would tell it. */
  forBuild(snapshot: Snapshot): BuildVariables
  /** For something that starts. */
  ofRelease(releaseId: number): Promise<GivenVariables>
}

type StartUnlessRefused = (start: () => Promise<void>) => Promise<SlipwayError | null>

/** What a container of a release gets of its users' variables. */
export interface GivenVariables {
  /** By name. */
  readonly values: Readonly<Record<string, Secret>>
  /** Grows with every value that is taken out of the release; null: none was. */
  readonly revision: string | null
  /** Starts something with them, or resolves with the reason why it must not start with them any more. */
  readonly startUnlessRefused: StartUnlessRefused
}

export interface SnapshotVariable {
  readonly name: string
  readonly value: Secret
  readonly secret: boolean
  readonly build: boolean
  readonly mark: Buffer
}

export type Snapshot = readonly SnapshotVariable[]

/** What a build gets, and a keyed hash of it; null when it gets nothing. */
export interface BuildVariables {
  readonly key: string | null
  readonly args: Readonly<Record<string, Secret>>
}

export function makeReleaseVariables({
  db,
  keys,
  masks,
  freshness,
}: {
  readonly db: Database
  readonly keys: SealingKeys
  readonly masks: Pick<Masks, 'add'>
  /** The same that the revocation has. */
  readonly freshness: Freshness
}): ReleaseVariables {
  return {
    async read(q, environmentId) {
      const { variables } = await store.listWithVersion(q, environmentId)
      return variables.map((v) => ({ ...v, value: new Secret(openValue(keys, environmentId, v)) }))
    },
    async readOf(q, releaseId) {
      const found = await store.findWithRelease(q, releaseId)
      if (found === null || found.sealed === null) return []
      const { sealed, keyId, marks } = found
      return openKept(keys, releaseId, { sealed, keyId }).map(([name, value, secret, build]) => {
        return { name, value: new Secret(value), secret, build, mark: Buffer.from(marks[name] ?? '', 'hex') }
      })
    },
    async keep(tx, releaseId, snapshot) {
      if (snapshot.length === 0) return
      const environmentId = await store.lockVariablesOf(tx, releaseId)
      // Whoever read them before that may have read what was revoked since.
      const read = snapshot.map(({ name, value }) => ({ name, value: value.reveal() }))
      await assertNotRevoked(tx, keys, environmentId, read)
      const kept: Kept = snapshot.map(({ name, value, secret, build }) => [name, value.reveal(), secret, build])
      const marks = Object.fromEntries(snapshot.map(({ name, mark }) => [name, mark.toString('hex')]))
      const sealed = keys.seal(placeOfRelease(releaseId), Buffer.from(JSON.stringify(kept)))
      await store.keepWithRelease(tx, releaseId, { ...sealed, marks })
    },
    forBuild: (snapshot) => buildVariablesOf(snapshot, keys.markKey),
    async ofRelease(releaseId) {
      const tryStart = freshness.beginReading(releaseId)
      const startUnlessRefused: StartUnlessRefused = async (start) => ((await tryStart(start)) ? null : takenError())
      const found = await store.findWithRelease(db, releaseId)
      if (found === null || found.sealed === null)
        return { values: {}, revision: found?.revision ?? null, startUnlessRefused }
      const { environmentId, sealed, keyId, revision } = found
      const kept = openKept(keys, releaseId, { sealed, keyId })
      // Whoever asks is about to give them to a container: before that prints anything.
      await masks.add(
        environmentId,
        kept.filter(([, , secret]) => secret).map(([, value]) => value),
      )
      const values = Object.fromEntries(kept.map(([name, value]) => [name, new Secret(value)]))
      return { values, revision, startUnlessRefused }
    },
  }
}

function takenError(): SlipwayError {
  return new SlipwayError(
    'unavailable',
    'A value of its variables was revoked in the moment in which it was to start, so it did not start with that.',
    { hint: 'Try again: it starts with what its release has now.' },
  )
}

/** Name, value, secret, build. */
type Kept = [string, string, boolean, boolean][]

export const placeOfRelease = (releaseId: number): string => `variables of release ${releaseId}`

export function openKept(keys: SealingKeys, releaseId: number, found: { sealed: Buffer; keyId: number }): Kept {
  return JSON.parse(keys.unseal(placeOfRelease(releaseId), found.sealed, found.keyId).toString('utf8')) as Kept
}

function buildVariablesOf(snapshot: Snapshot, markKey: Buffer): BuildVariables {
  const given = snapshot.filter((variable) => variable.build)
  const secrets = given.filter((variable) => variable.secret).map(({ name }) => name)
  if (secrets.length > 0) {
    const [are, them] = secrets.length === 1 ? ['is', 'it'] : ['are', 'them']
    throw new SlipwayError(
      'config_invalid',
      `${secrets.join(', ')} ${are} secret and for the build. A build could get ${them} as BuildKit secrets only, and this host has no builder for these; build arguments would stay readable in the image. Nothing was built.`,
      { hint: 'Set what the build needs without --secret, or take --build from what is secret (--no-build).' },
    )
  }
  if (given.length === 0) return { key: null, args: {} }
  const hash = createHmac('sha256', markKey)
  for (const { name, mark } of given) hash.update(`${name}=`).update(mark)
  return { key: hash.digest('hex'), args: Object.fromEntries(given.map(({ name, value }) => [name, value])) }
}
