import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import { quote } from '../kernel/names.ts'
import type { Database, Queryable, Transaction } from '../postgres/database.ts'
import type { SealingKeys } from './keys.ts'
import type { Masks } from './mask/masks.ts'
import { assertNotRevoked } from './revoked.ts'
import { markOf } from './seal.ts'
import * as store from './store.ts'
import { planChange, type Variable, type VariablesChange } from './variable.ts'

/** The variables of environments, as people look at them and change them. A change is applied by the next deploy. */
export interface Vars {
  /** By name; `version` counts the environment's changes. */
  list(environmentId: number): Promise<{ version: number; variables: Variable[] }>
  /** Keyed hashes of their values, in hexadecimal digits, by name. */
  listMarks(environmentId: number): Promise<Readonly<Record<string, string>>>
  /** The same with values; null where they are secret. */
  listValues(environmentId: number): Promise<{ version: number; variables: (Variable & { value: string | null })[] }>
  /** Throws `not_found`, and `not_allowed` for a secret. */
  get(environmentId: number, name: string): Promise<Variable & { value: string }>
  /** All of it or nothing; `by` is who. Throws what `planChange` does. */
  change(environmentId: number, change: VariablesChange, by: string): Promise<Changed>
  /** Gives an environment that has none yet all variables of another, secrets and flags included. */
  readonly copyVariables: (tx: Transaction, which: { from: number; to: number }) => Promise<void>
}

export interface Changed {
  readonly version: number
  /** Names; what was the same already is in neither. */
  readonly set: readonly string[]
  readonly unset: readonly string[]
}

interface VarsParts {
  readonly db: Database
  readonly keys: SealingKeys
  readonly masks: Pick<Masks, 'add'>
}

export function makeVars({ db, keys, masks }: VarsParts): Vars {
  const mark = (variable: { name: string; value: string; build: boolean }): Buffer => markOf(keys.markKey, variable)
  const changeIn = async (
    tx: Transaction,
    environmentId: number,
    { change, by }: { change: VariablesChange; by: string },
  ): Promise<{ changed: Changed; secrets: string[] }> => {
    const { version, environment, appId } = await store.lockVariables(tx, environmentId)
    const variables = await store.listVariables(tx, environmentId)
    const { set, unset } = planChange({ version, environment, variables }, change, mark)
    await assertNotRevoked(tx, keys, environmentId, set)
    if (set.length + unset.length === 0) return { changed: { version, set: [], unset: [] }, secrets: [] }
    const written = set.map((v) => ({ ...v, ...keys.seal(placeOf(environmentId, v.name), Buffer.from(v.value)) }))
    const names = { set: set.map(({ name }) => name), unset: [...unset] }
    const after = await store.writeVariables(tx, environmentId, { set: written, unset, by })
    await appendEvent(tx, { kind: 'vars.changed', appId, environmentId, by, data: names })
    return { changed: { version: after, ...names }, secrets: set.filter((v) => v.secret).map((v) => v.value) }
  }

  return {
    async list(environmentId) {
      const { version, variables } = await store.listWithVersion(db, environmentId)
      return { version, variables: variables.map(present) }
    },
    async listMarks(environmentId) {
      const variables = await store.listVariables(db, environmentId)
      return Object.fromEntries(variables.map(({ name, mark }) => [name, mark.toString('hex')]))
    },
    async listValues(environmentId) {
      const { version, variables } = await store.listWithVersion(db, environmentId)
      const values = variables.map((v) => ({
        ...present(v),
        value: v.secret ? null : openValue(keys, environmentId, v),
      }))
      return { version, variables: values }
    },
    async get(environmentId, name) {
      const { variables } = await store.listWithVersion(db, environmentId)
      const found = variables.find((variable) => variable.name === name)
      if (found === undefined) throw await notSetError(db, environmentId, name)
      if (found.secret) throw secretError(name)
      return { ...present(found), value: openValue(keys, environmentId, found) }
    },
    async change(environmentId, change, by) {
      const { changed, secrets } = await db.transaction((tx) => changeIn(tx, environmentId, { change, by }))
      // Who is given them hears of them from `ReleaseVariables`; here it may be something that is printed already.
      await masks.add(environmentId, secrets)
      return changed
    },
    async copyVariables(tx, { from, to }) {
      // A value that is revoked meanwhile must not live on in a copy that whoever revokes it has not seen.
      await store.lockVariables(tx, from)
      const { variables } = await store.listWithVersion(tx, from)
      if (variables.length === 0) return
      for (const [by, its] of Map.groupBy(variables, (variable) => variable.changedBy)) {
        const set = its.map((v) => ({ ...v, ...keys.seal(placeOf(to, v.name), openBytes(keys, from, v)) }))
        await store.writeVariables(tx, to, { set, unset: [], by })
      }
    },
  }
}

/** Part of a value's seal: a row that is put elsewhere does not open. */
export const placeOf = (environmentId: number, name: string): string =>
  `variable ${name} of environment ${environmentId}`

function openBytes(keys: SealingKeys, environmentId: number, { name, sealed, keyId }: store.Sealed): Buffer {
  return keys.unseal(placeOf(environmentId, name), sealed, keyId)
}

export function openValue(keys: SealingKeys, environmentId: number, sealed: store.Sealed): string {
  return openBytes(keys, environmentId, sealed).toString('utf8')
}

function present({ name, secret, build, version, changedBy, changedAt }: Variable): Variable {
  return { name, secret, build, version, changedBy, changedAt }
}

async function notSetError(q: Queryable, environmentId: number, name: string): Promise<SlipwayError> {
  const names = (await store.listVariables(q, environmentId)).map((variable) => variable.name)
  const some = names.slice(0, 10).join(', ') + (names.length > 10 ? ', …' : '')
  return new SlipwayError('not_found', `The variable ${quote(name)} is not set.`, {
    hint: names.length === 0 ? 'None is: slipway vars set NAME=value' : `Set are: ${some}`,
  })
}

function secretError(name: string): SlipwayError {
  return new SlipwayError('not_allowed', `${name} is secret: its value is never shown again.`, {
    hint: `Only the app gets it. To give it another value: slipway vars set ${name} --secret`,
  })
}
