import type { Router } from '../../routing/index.ts'
import { encodeRules, ownerOf, type RuleMap } from './rule-entries.ts'
import type { MapFiles } from './map-files.ts'
import type { MapName } from './paths.ts'

const maps: readonly RuleMap[] = ['passwords', 'allowed', 'limits', 'maintenance']
const none = { passwords: [], allowed: [], limits: null }

/** Additions before removals: whoever may come before and after may come in between. */
export function makeSetRules(maker: {
  readonly files: MapFiles
  readonly put: (map: MapName, entries: readonly (readonly [string, string])[]) => Promise<void>
  readonly remove: (map: MapName, keys: readonly string[]) => Promise<void>
}): Router['setRules'] {
  const { files, put, remove } = maker
  return async (environmentId, rules) => {
    const wanted = encodeRules(environmentId, rules ?? none)
    for (const map of maps) {
      if (wanted[map].size > 0) await put(map, [...wanted[map]])
      const own = [...files.entries()[map].keys()].filter((key) => ownerOf(key) === String(environmentId))
      await remove(
        map,
        own.filter((key) => !wanted[map].has(key)),
      )
    }
  }
}
