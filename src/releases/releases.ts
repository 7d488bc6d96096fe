import { SlipwayError } from '../kernel/errors.ts'
import type { Queryable } from '../postgres/database.ts'
import {
  compareConfigurations,
  compareProcesses,
  compareVariables,
  type ConfigurationDifference,
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
  /** What the second has that the first has not, and the other way round. */
  compare(from: ReleasePlace, to: ReleasePlace): Promise<ReleaseComparison>
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
const mostDifferences = 100

export function makeReleases({ db }: { db: Queryable }): Releases {
  const find = async (place: ReleasePlace): Promise<store.ReleaseSummary> => {
    const found = await store.findSummary(db, place)
    if (found !== null) return found
    throw new SlipwayError('not_found', `${place.environment} has no release v${place.number}.`, {
      hint: `See what there is with: slipway releases list ${place.environment}`,
    })
  }

  return {
    list: (environmentId, page) => store.listReleases(db, environmentId, page),
    async get(place) {
      const summary = await find(place)
      const [{ image, config, marks }, steps, { total, deploys }] = await Promise.all([
        store.readContent(db, summary.id),
        summary.deploy === null ? [] : store.listSteps(db, summary.deploy.id),
        store.listDeploysOf(db, summary.id, mostDeploys),
      ])
      return {
        ...summary,
        image,
        configuration: configurationAsWritten(config),
        variables: Object.keys(marks).sort(),
        steps,
        deploys: { total, newest: deploys },
      }
    },
    async compare(fromPlace, toPlace) {
      const [from, to] = [await find(fromPlace), await find(toPlace)]
      const [before, after] = await Promise.all([store.readContent(db, from.id), store.readContent(db, to.id)])
      return {
        from,
        to,
        isSameImage: before.image.digest === after.image.digest,
        variables: compareVariables(before.marks, after.marks),
        configuration: cut(compareConfigurations(before.config, after.config)),
        processes: cut(compareProcesses(before.config, after.config)),
      }
    },
  }
}

function cut<T>(all: readonly T[]): Cut<T> {
  return { total: all.length, first: all.slice(0, mostDifferences) }
}
