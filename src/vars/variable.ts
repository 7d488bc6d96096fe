import { SlipwayError } from '../kernel/errors.ts'
import { quote } from '../kernel/names.ts'
import { mostVariableBytes, mostVariables, parseVariableName, parseVariableValue } from '../kernel/variables.ts'

/** A variable of an environment, without its value. */
export interface Variable {
  readonly name: string
  /** Its value is never shown again. */
  readonly secret: boolean
  /** Builds get it, too. */
  readonly build: boolean
  /** The environment's version since when it is as it is. */
  readonly version: number
  readonly changedBy: string
  readonly changedAt: Date
}

/** A variable that a change names. */
interface Named {
  readonly name: string
  /** The version that the change is based on, null when it was not there; any when left out. */
  readonly ifVersion?: number | null
}

export interface NewVariable extends Named {
  readonly value: string
  /** Left out: as it is; false for a new one. */
  readonly secret?: boolean
  readonly build?: boolean
}

/** What is changed at once: all of it, or nothing. */
export interface VariablesChange {
  readonly set: readonly NewVariable[]
  readonly unset: readonly Named[]
  /** The environment's version that the change is based on; any when left out. */
  readonly ifVersion?: number
}

/** What there is, as far as a change needs it. */
export interface Present extends Variable {
  readonly mark: Buffer
  readonly bytes: number
}

export interface Planned {
  readonly set: readonly {
    readonly name: string
    readonly value: string
    readonly secret: boolean
    readonly build: boolean
    readonly mark: Buffer
    readonly bytes: number
  }[]
  readonly unset: readonly string[]
}

/**
 * What a change comes down to; what is the same already is left out. Throws `conflict` when somebody was faster, `not_found`
 * for an unset of what is not there, `too_large` and `bad_request` for what cannot be.
 */
export function planChange(
  there: { readonly version: number; readonly variables: readonly Present[]; readonly environment: string },
  change: VariablesChange,
  markOf: (variable: { name: string; value: string; build: boolean }) => Buffer,
): Planned {
  const present = new Map(there.variables.map((variable) => [variable.name, variable]))
  assertOnce([...change.set, ...change.unset])
  assertExpected(there, present, change)
  const set = change.set.flatMap((wish) => {
    const name = parseVariableName(wish.name)
    const value = parseVariableValue(name, wish.value)
    const before = present.get(name)
    const secret = wish.secret ?? before?.secret ?? false
    const build = wish.build ?? before?.build ?? false
    const mark = markOf({ name, value, build })
    if (before !== undefined && before.mark.equals(mark) && before.secret === secret) return []
    return [{ name, value, secret, build, mark, bytes: name.length + Buffer.byteLength(value) }]
  })
  const unset = change.unset.map(({ name }) => name)
  const missing = unset.find((name) => !present.has(name))
  if (missing !== undefined) {
    throw new SlipwayError(
      'not_found',
      `${parseVariableName(missing)} is not set in ${there.environment}. Nothing was changed.`,
      { hint: `See all with: slipway vars list ${there.environment}` },
    )
  }
  assertRoom(present, { set, unset }, there.environment)
  return { set, unset }
}

function assertOnce(named: readonly Named[]): void {
  const seen = new Set<string>()
  for (const { name } of named) {
    if (seen.has(name)) throw new SlipwayError('bad_request', `${quote(name)} is named twice: set or unset it once.`)
    seen.add(name)
  }
}

function assertExpected(
  there: { readonly version: number; readonly environment: string },
  present: ReadonlyMap<string, Present>,
  { ifVersion, set, unset }: VariablesChange,
): void {
  const hint = 'Look at what is there now, then do yours again if it is still wanted: slipway vars list'
  for (const { name, ifVersion: version } of [...set, ...unset]) {
    const now = present.get(name)
    if (version === undefined || (now?.version ?? null) === version) continue
    const what = now === undefined ? 'was unset' : `was changed by ${now.changedBy} at ${now.changedAt.toISOString()}`
    throw new SlipwayError('conflict', `${name} ${what} meanwhile. Yours was not taken; nothing was changed.`, { hint })
  }
  if (ifVersion === undefined || ifVersion === there.version) return
  throw new SlipwayError(
    'conflict',
    `The variables of ${there.environment} are at version ${there.version}, not ${ifVersion}: somebody changed them meanwhile. Nothing was changed.`,
    { hint },
  )
}

function assertRoom(present: ReadonlyMap<string, Present>, planned: Planned, environment: string): void {
  const sizes = new Map([...present].map(([name, { bytes }]) => [name, bytes]))
  for (const { name, bytes } of planned.set) sizes.set(name, bytes)
  for (const name of planned.unset) sizes.delete(name)
  if (planned.set.length === 0) return
  if (sizes.size > mostVariables) {
    throw new SlipwayError(
      'too_large',
      `${environment} would have ${sizes.size} variables; the most is ${mostVariables}.`,
      {
        hint: 'Unset what is not needed, or keep what is many in a file of the image.',
      },
    )
  }
  const bytes = [...sizes.values()].reduce((sum, each) => sum + each, 0)
  if (bytes > mostVariableBytes) {
    throw new SlipwayError(
      'too_large',
      `The variables of ${environment} would have ${Math.ceil(bytes / 1024)} KB together; the most is ${mostVariableBytes / 1024} KB.`,
      {
        hint: 'Linux gives a process little room for them. What is large belongs into a file of the image, or into a store.',
      },
    )
  }
}
