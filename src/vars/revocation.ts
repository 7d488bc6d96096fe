import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import { faultPoint } from '../kernel/fault-point.ts'
import { withTimeout } from '../kernel/timeout.ts'
import { parseVariableName, parseVariableValue } from '../kernel/variables.ts'
import type { Database, Queryable, Transaction } from '../postgres/database.ts'
import type { Freshness } from './freshness.ts'
import type { SealingKeys } from './keys.ts'
import type { Masks } from './mask/masks.ts'
import { openKept, placeOfRelease } from './release-variables.ts'
import * as revocations from './revocation-store.ts'
import { assertNotRevoked, placeOfRevoked } from './revoked.ts'
import { markOf } from './seal.ts'
import * as store from './store.ts'
import { planChange } from './variable.ts'
import { openValue, placeOf } from './vars.ts'

/**
 * A value that leaked is taken out of everything that something could be started from: the variables of all environments of
 * its app and the snapshots of all their releases. It is the one thing that changes a release after it was made.
 */
export interface Revocation {
  /**
   * One transaction; when it resolves nothing starts with the value any more (but what an engine has not answered for 10 s).
   * Errors: `not_found`, `conflict`, `bad_request`.
   */
  revoke(wish: RevocationWish, by: string): Promise<Revoked>
}

export interface RevocationWish {
  readonly appId: number
  readonly environmentId: number
  /** For messages. */
  readonly environment: string
  readonly name: string
  /** Whose value leaked; null: the one that the environment has now. */
  readonly release: { readonly id: number; readonly number: number } | null
  /** What takes its place; null: nothing. */
  readonly value: string | null
}

export interface Revoked {
  readonly environments: readonly RevokedIn[]
  /** Deploys that had begun with it. They are asked to end, but for those whose traffic is being moved. */
  readonly begun: readonly { readonly deployId: number; readonly environment: string; readonly ends: boolean }[]
  /** Releases whose images were built with it, and hold it for as long as they are kept. */
  readonly images: readonly { readonly environment: string; readonly release: number }[]
  /** Runs and jobs that have it until they end; null when it cannot be told: the engine does not answer in time. */
  readonly goingOn: readonly GoingOn[] | null
}

/** A command that runs beside the instances of a release. */
export interface GoingOn {
  readonly environment: string
  readonly release: number
  /** Its label; null: somebody’s `slipway run`. */
  readonly job: string | null
}

export interface RevokedIn {
  readonly environment: string
  /** Its variable had the value. */
  readonly variable: boolean
  /** How many of its releases had it. */
  readonly releases: number
  /** Releases of which something runs that started with it. */
  readonly running: readonly { readonly release: number; readonly serves: boolean }[]
}

interface Parts {
  readonly db: Database
  readonly keys: SealingKeys
  readonly masks: Pick<Masks, 'add'>
  /** The same that the variables of releases have. */
  readonly freshness: Freshness
  /** Asks the deploys to end that have begun to start something of these releases and lead nothing to it yet. */
  readonly endBegun: (
    tx: Transaction,
    begun: { releaseIds: readonly number[]; by: string },
  ) => Promise<readonly { deployId: number; environmentId: number; ends: boolean }[]>
  /** Called after the transaction: what else had been started of these releases ends, but for what it resolves to. */
  readonly afterTaken: (releaseIds: readonly number[]) => Promise<readonly GoingOn[] | null>
}

/** What leaked, and what takes its place. */
interface Leak {
  readonly name: string
  readonly value: string
  readonly next: string | null
  /** As one that builds do not get, and as one that they get. */
  readonly marks: readonly [run: string, build: string]
}

/** A start takes some tenths of a second; nobody who takes a leaked value out waits for an engine that hangs. */
const startingMs = 10_000

/** Snapshots have half a megabyte at most. */
const batch = 50

export function makeRevocation(parts: Parts): Revocation {
  const { masks } = parts
  return {
    async revoke(wish, by) {
      const { started, ...made } = await revokeAtOnce(parts, { wish, by })
      const { leak, revoked, holders, isSecret, releaseIds } = made
      faultPoint('vars.revoked')
      if (isSecret) {
        for (const { id } of holders) await masks.add(id, [leak.value, ...(leak.next === null ? [] : [leak.next])])
      }
      const isOver = await withTimeout({ ms: startingMs, what: 'The engine' }, () => started).then(
        () => true,
        () => false,
      )
      const goingOn = await parts.afterTaken(releaseIds)
      return { ...revoked, goingOn: isOver ? goingOn : null }
    },
  }
}

interface Asked {
  readonly wish: RevocationWish
  readonly by: string
}

/**
 * What was read before the commit and has not started by then does not start any more. `started`: when what was just being started
 * has, or failed to.
 */
async function revokeAtOnce(
  parts: Parts,
  asked: Asked,
): Promise<Awaited<ReturnType<typeof revokeIn>> & { started: Promise<void> }> {
  let endChange = (): Promise<void> => Promise.resolve()
  try {
    const made = await parts.db.transaction((tx) =>
      revokeIn(parts, tx, {
        ...asked,
        onReplaced: (releaseIds) => {
          endChange = parts.freshness.beginChange(releaseIds)
        },
      }),
    )
    return { ...made, started: endChange() }
  } catch (error) {
    void endChange()
    throw error
  }
}

async function revokeIn(
  parts: Parts,
  tx: Transaction,
  { wish, by, onReplaced }: Asked & { onReplaced: (releaseIds: readonly number[]) => void },
) {
  const leak = await readLeak(parts, tx, wish)
  // The many first, while deploys go on; those that come meanwhile when nobody can make any.
  const early = await replaceInReleases(parts, tx, leak, await revocations.listHolders(tx, wish.appId))
  const holders = await lockAll(tx, wish.appId)
  await assertStill(parts, tx, wish, leak)
  if (leak.next !== null) {
    await assertNotRevoked(tx, parts.keys, wish.environmentId, [{ name: leak.name, value: leak.next }])
  }
  const late = await replaceInReleases(parts, tx, leak, holders)
  const replaced = [...early, ...late]
  const images = await markImages(tx, leak, replaced)
  const releaseIds = [...new Set([...replaced, ...images].map(({ id }) => id))]
  onReplaced(releaseIds)
  const variables = await replaceInVariables(parts, tx, { leak, holders, by })
  const isSecret = variables.isSecret || replaced.some(({ secret }) => secret)
  const { keyId, sealed } = parts.keys.seal(placeOfRevoked(wish.appId, leak.name), Buffer.from(leak.value))
  const mark = Buffer.from(leak.marks[0], 'hex')
  await revocations.recordRevoked(tx, { appId: wish.appId, name: leak.name, mark, keyId, sealed, secret: isSecret }, by)
  const found = await parts.endBegun(tx, { releaseIds, by: `${by}, who revoked ${leak.name}` })
  const begun = found.map(({ environmentId, ...deploy }) => {
    return { ...deploy, environment: holders.find(({ id }) => id === environmentId)?.name ?? '-' }
  })
  const running = await revocations.listRunning(
    tx,
    replaced.map(({ id }) => id),
  )
  const environments = holders.map(({ id, name }) => ({
    environment: name,
    variable: variables.changed.has(id),
    releases: replaced.filter(({ environmentId }) => environmentId === id).length,
    running: running
      .filter(({ environmentId }) => environmentId === id)
      .map(({ release, serves }) => ({ release, serves })),
  }))
  for (const [i, { variable, releases }] of environments.entries()) {
    if (!variable && releases === 0) continue
    const data = { name: leak.name, releases, removed: leak.next === null }
    const environmentId = holders[i]?.id as number
    await appendEvent(tx, { kind: 'vars.revoked', appId: wish.appId, environmentId, by, data })
  }
  const named = images.map(({ environment, release }) => ({ environment, release }))
  return { leak, holders, isSecret, releaseIds, revoked: { environments, begun, images: named } }
}

/** From now on nothing new starts from the images that were built with it. Returns the releases that have one. */
async function markImages(
  tx: Transaction,
  { name, marks }: Leak,
  replaced: readonly ReplacedIn[],
): ReturnType<typeof revocations.listReleasesOf> {
  const given = replaced.filter(({ mark }) => mark === marks[1])
  if (given.length === 0) return []
  const buildIds = [...new Set(given.map(({ buildId }) => buildId))]
  const made = await revocations.listMadeFor(tx, { buildIds, releaseIds: given.map(({ id }) => id) })
  await revocations.markImages(tx, made, name)
  return revocations.listReleasesOf(tx, made)
}

async function readLeak({ keys }: Parts, tx: Transaction, wish: RevocationWish): Promise<Leak> {
  const name = parseVariableName(wish.name)
  const next = wish.value === null ? null : parseVariableValue(name, wish.value)
  const value = await (wish.release === null
    ? readFromEnvironment(keys, tx, wish)
    : readFromRelease(keys, tx, { ...wish, release: wish.release }))
  if (value === next) {
    throw new SlipwayError('bad_request', `That is the value of ${name} that is to be revoked. Nothing was changed.`, {
      hint: `${await tellLast(tx, wish.appId, name)}Give the new one, or --remove.`,
    })
  }
  const marks = [false, true].map((build) => markOf(keys.markKey, { name, value, build }).toString('hex'))
  return { name, value, next, marks: marks as [string, string] }
}

/** For who asks once more, because the answer to the first time was lost: it was done then. */
async function tellLast(q: Queryable, appId: number, name: string): Promise<string> {
  const last = await revocations.findLastRevocation(q, appId, name)
  return last === null ? '' : `${last.by} revoked a value of ${name} at ${last.at.toISOString()}: it may be done. `
}

async function readFromEnvironment(
  keys: SealingKeys,
  q: Queryable,
  { appId, environmentId, environment, name }: RevocationWish,
): Promise<string> {
  const { variables } = await store.listWithVersion(q, environmentId)
  const found = variables.find((variable) => variable.name === name)
  if (found !== undefined) return openValue(keys, environmentId, found)
  throw new SlipwayError('not_found', `${name} is not set in ${environment}. Nothing was changed.`, {
    hint: `${await tellLast(q, appId, name)}If a release has the value that leaked, name it: slipway vars revoke ${name} -e ${environment} --of v12`,
  })
}

async function readFromRelease(
  keys: SealingKeys,
  tx: Queryable,
  { name, release, environment }: RevocationWish & { release: { id: number; number: number } },
): Promise<string> {
  const found = await store.findWithRelease(tx, release.id)
  const kept =
    found === null || found.sealed === null ? [] : openKept(keys, release.id, { ...found, sealed: found.sealed })
  const value = kept.find(([its]) => its === name)?.[1]
  if (value !== undefined) return value
  throw new SlipwayError('not_found', `v${release.number} of ${environment} has no ${name}. Nothing was changed.`, {
    hint: `See what it has: slipway releases show v${release.number} -e ${environment}`,
  })
}

/** An environment may have been added, with a copy of the variables, while the others were waited for. */
async function lockAll(tx: Transaction, appId: number): Promise<revocations.Holder[]> {
  for (let locked = 0; ; ) {
    const holders = await revocations.listHolders(tx, appId)
    if (holders.length === locked) return holders
    await revocations.lockHolders(
      tx,
      holders.map(({ id }) => id),
    )
    locked = holders.length
  }
}

/** Nobody was faster: from here on nobody can be. */
async function assertStill({ keys }: Parts, tx: Transaction, wish: RevocationWish, leak: Leak): Promise<void> {
  const now = wish.release === null ? await readFromEnvironment(keys, tx, wish) : leak.value
  if (now === leak.value) return
  throw new SlipwayError(
    'conflict',
    `${leak.name} was changed in ${wish.environment} meanwhile. Nothing was revoked.`,
    {
      hint: `If the value that was there before leaked, name a release that has it: slipway vars revoke ${leak.name} -e ${wish.environment} --of v12`,
    },
  )
}

interface ReplacedIn {
  readonly id: number
  readonly environmentId: number
  readonly buildId: number
  /** That it had. */
  readonly mark: string
  readonly secret: boolean
}

async function replaceInReleases(
  { keys }: Parts,
  tx: Transaction,
  leak: Leak,
  holders: readonly revocations.Holder[],
): Promise<ReplacedIn[]> {
  const { name, marks } = leak
  const ids = await revocations.listReleasesWith(tx, { environmentIds: holders.map(({ id }) => id), name, marks })
  const replaced: ReplacedIn[] = []
  for (let i = 0; i < ids.length; i += batch) {
    const taken = await revocations.takeSnapshots(tx, ids.slice(i, i + batch), { name, marks })
    const written = taken.map((release) => {
      const kept = openKept(keys, release.id, release)
      const next = kept.flatMap((each) => (each[0] === name ? replacementOf(each, leak) : [each]))
      const { sealed, keyId } = keys.seal(placeOfRelease(release.id), Buffer.from(JSON.stringify(next)))
      const { id, environmentId, buildId, mark } = release
      replaced.push({
        id,
        environmentId,
        buildId,
        mark,
        secret: kept.some(([its, , secret]) => its === name && secret),
      })
      return { id, sealed, keyId, mark: nextMark(keys, leak, mark === marks[1]) }
    })
    await revocations.putSnapshots(tx, name, written)
  }
  return replaced
}

type KeptVariable = ReturnType<typeof openKept>[number]

function replacementOf([name, , secret, build]: KeptVariable, { next }: Leak): KeptVariable[] {
  return next === null ? [] : [[name, next, secret, build]]
}

function nextMark(keys: SealingKeys, { name, next }: Leak, build: boolean): string | null {
  return next === null ? null : markOf(keys.markKey, { name, value: next, build }).toString('hex')
}

async function replaceInVariables(
  { keys }: Parts,
  tx: Transaction,
  { leak, holders, by }: { leak: Leak; holders: readonly revocations.Holder[]; by: string },
): Promise<{ changed: Set<number>; isSecret: boolean }> {
  const changed = new Set<number>()
  let isSecret = false
  for (const { id, name: environment } of holders) {
    const variables = await store.listVariables(tx, id)
    const found = variables.find(({ name, mark }) => name === leak.name && leak.marks.includes(mark.toString('hex')))
    if (found === undefined) continue
    const { name, next } = leak
    const change = next === null ? { set: [], unset: [{ name }] } : { set: [{ name, value: next }], unset: [] }
    const mark = (variable: { name: string; value: string; build: boolean }): Buffer => markOf(keys.markKey, variable)
    const { set, unset } = planChange({ version: 0, environment, variables }, change, mark)
    const written = set.map((v) => ({ ...v, ...keys.seal(placeOf(id, v.name), Buffer.from(v.value)) }))
    await store.writeVariables(tx, id, { set: written, unset, by })
    changed.add(id)
    isSecret ||= found.secret
  }
  return { changed, isSecret }
}
