import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import type { Database, Transaction } from '../postgres/database.ts'
import {
  compareConfigurations,
  compareProcesses,
  compareVariables,
  type ConfigurationDifference,
  cutDifferences,
  type Marks,
  type VariablesDifference,
} from './compare.ts'
import type { Cut } from './compare-commits.ts'
import { type Configuration, configurationAsWritten } from './configuration.ts'
import * as store from './reads-store.ts'

/** Releases as people look at them. */
export interface Releases {
  /** Newest first, with numbers below `before`. */
  list(environmentId: number, page: { limit: number; before?: number }): Promise<store.ReleaseSummary[]>
  /** Throws `not_found`. */
  get(place: ReleasePlace): Promise<ReleaseDetails>
  /** What an environment serves, or served when it was stopped; null when nothing was deployed there yet. */
  current(environmentId: number): Promise<store.ReleaseSummary | null>
  /** Keyed hashes of its variables’ values, by name. */
  marksOf(releaseId: number): Promise<Marks>
  /** What the second has that the first has not, and the other way round. */
  compare(from: ReleasePlace, to: ReleasePlace): Promise<ReleaseComparison>
  /** Keeps its image however old it gets, or no longer. Throws `conflict` when that is gone already. Safe to repeat. */
  setPinned(place: ReleasePlace, pinned: boolean, by: string): Promise<store.ReleaseSummary>
}

/** A release as people name it. */
export interface ReleasePlace {
  readonly environmentId: number
  /** For messages. */
  readonly environment: string
  readonly number: number
}

export interface ReleaseDetails extends store.ReleaseSummary {
  readonly image: { readonly digest: string; readonly sizeBytes: number }
  /** In the words of slipway.yml, defaults filled in. */
  readonly configuration: Configuration
  /** Names, sorted. */
  readonly variables: readonly string[]
  /** What serves was started with a value that was revoked then; null: it was not. */
  readonly revokedAt: Date | null
  /** Of the deploy that made it, in their order. */
  readonly steps: readonly store.StepTime[]
  /** The newest first; `total` counts all. */
  readonly deploys: { readonly total: number; readonly newest: readonly store.DeployOfRelease[] }
}

export interface ReleaseComparison {
  readonly from: store.ReleaseSummary
  readonly to: store.ReleaseSummary
  readonly isSameImage: boolean
  readonly variables: VariablesDifference
  readonly configuration: Cut<ConfigurationDifference>
  readonly processes: Cut<ConfigurationDifference>
}

const mostDeploys = 20

interface Parts {
  readonly db: Database
  /** False when the image of this build is gone; else it stays until the transaction ends. */
  readonly tryHoldImage: (tx: Transaction, buildId: number) => Promise<boolean>
}

export function makeReleases({ db, tryHoldImage }: Parts): Releases {
  const find = async (place: ReleasePlace): Promise<store.ReleaseSummary> => {
    const found = await store.findSummary(db, place)
    if (found === null) throw missingError(place)
    return found
  }

  return {
    list: (environmentId, page) => store.listReleases(db, environmentId, page),
    async get(place) {
      const summary = await find(place)
      const [{ image, config, marks }, revokedAt, steps, { total, deploys }] = await Promise.all([
        store.readContent(db, summary.id),
        store.findRevokedInUse(db, summary.id),
        summary.deploy === null ? [] : store.listSteps(db, summary.deploy.id),
        store.listDeploysOf(db, summary.id, mostDeploys),
      ])
      return {
        ...summary,
        image,
        configuration: configurationAsWritten(config),
        variables: Object.keys(marks).sort(),
        revokedAt,
        steps,
        deploys: { total, newest: deploys },
      }
    },
    current: (environmentId) => store.findCurrent(db, environmentId),
    marksOf: async (releaseId) => (await store.readContent(db, releaseId)).marks,
    async compare(fromPlace, toPlace) {
      const [from, to] = await Promise.all([find(fromPlace), find(toPlace)])
      const [before, after] = await Promise.all([store.readContent(db, from.id), store.readContent(db, to.id)])
      return {
        from,
        to,
        isSameImage: before.image.digest === after.image.digest,
        variables: compareVariables(before.marks, after.marks),
        configuration: cutDifferences(compareConfigurations(before.config, after.config)),
        processes: cutDifferences(compareProcesses(before.config, after.config)),
      }
    },
    async setPinned(place, pinned, by) {
      await db.transaction(async (tx) => {
        const found = await store.lockPin(tx, place)
        if (found === null) throw missingError(place)
        if (found.pinned === pinned) return
        if (pinned && !(await tryHoldImage(tx, found.buildId))) throw goneError(place)
        await store.recordPin(tx, found.id, pinned)
        const { appId } = found
        const kind = pinned ? 'release.pinned' : 'release.unpinned'
        await appendEvent(tx, { kind, appId, environmentId: place.environmentId, by, data: { release: place.number } })
      })
      return find(place)
    },
  }
}

function goneError({ environment, number }: ReleasePlace): SlipwayError {
  return new SlipwayError('conflict', `The image of v${number} is gone: it was too old to be kept.`, {
    hint: `To build its commit again, and deploy that: slipway releases rebuild v${number} ${environment}. How many are kept says SLIPWAY_KEEP_RELEASES.`,
  })
}

function missingError({ environment, number }: ReleasePlace): SlipwayError {
  return new SlipwayError('not_found', `${environment} has no release v${number}.`, {
    hint: `See what there is with: slipway releases list ${environment}`,
  })
}
