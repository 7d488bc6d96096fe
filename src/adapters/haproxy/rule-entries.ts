import {
  type Limits,
  type Maintenance,
  parseEnvironmentId,
  parseLimits,
  parseMessage,
  parsePasswordHash,
  parseRangePrefix,
  type Rules,
} from '../../routing/index.ts'
import { decodeMessage, encodeMessage } from './maintenance.ts'

/*
 * The rules of environments as lines of the maps: `passwords` and `allowed`: environment and hash, or beginning of an address → itself (a look
 * at beginnings finds the longest: the value says which it was), with an `m` before it where it lets in to a site that is being worked on;
 * `limits` environment → `<requests>/<in 10 s>/<open>`; `maintenance` environment → message.
 */

export type RuleMap = 'passwords' | 'allowed' | 'limits' | 'maintenance'
export type RuleEntries = Readonly<Record<RuleMap, Map<string, string>>>

/** How long requests of a visitor are counted. */
export const rateSeconds = 10

export function encodeRules(environmentId: number, { passwords, allowed, limits, maintenance }: Rules): RuleEntries {
  const id = parseEnvironmentId(environmentId)
  return {
    passwords: toItself(passwords.map((hash) => `${id}:${parsePasswordHash(hash)}`)),
    allowed: toItself([
      ...allowed.map((prefix) => `${id}:${parseRangePrefix(prefix)}`),
      ...(maintenance?.allowed ?? []).map((prefix) => `m${id}:${parseRangePrefix(prefix)}`),
    ]),
    limits: new Map(limits === null ? [] : [[id, encodeLimits(parseLimits(limits))]]),
    maintenance: new Map(maintenance ? [[id, encodeMessage(parseMessage(maintenance.message))]] : []),
  }
}

const toItself = (keys: readonly string[]): Map<string, string> => new Map(keys.map((key) => [key, key]))

/** The entries of all environments together. */
export function encodeAll(rules: ReadonlyMap<number, Rules>): RuleEntries {
  const each = [...rules].map(([id, its]) => encodeRules(id, its))
  const all = (map: RuleMap): Map<string, string> => new Map(each.flatMap((entries) => [...entries[map]]))
  return {
    passwords: all('passwords'),
    allowed: all('allowed'),
    limits: all('limits'),
    maintenance: all('maintenance'),
  }
}

/** Whose rule an entry is. */
export function ownerOf(key: string): string {
  return (key.split(':', 1)[0] ?? '').replace(/^m/, '')
}

export function decodeRules(
  entries: Readonly<Record<RuleMap, ReadonlyMap<string, string>>>,
): ReadonlyMap<number, Rules> {
  const rules = new Map<number, Decoded>()
  const of = (id: string): Decoded => {
    const known = rules.get(Number(id)) ?? { passwords: [], allowed: [], limits: null }
    rules.set(Number(id), known)
    return known
  }
  for (const [key] of entries.passwords) {
    const [id = '', hash = ''] = key.split(':')
    of(id).passwords.push(hash)
  }
  for (const [id, message] of entries.maintenance) {
    of(id).maintenance = { message: decodeMessage(message), allowed: [] }
  }
  for (const [key] of entries.allowed) {
    const prefix = key.slice(key.indexOf(':') + 1)
    const its = of(ownerOf(key))
    if (!key.startsWith('m')) its.allowed.push(prefix)
    else (its.maintenance ??= { message: '', allowed: [] }).allowed.push(prefix)
  }
  for (const [id, limits] of entries.limits) of(id).limits = decodeLimits(limits)
  return rules
}

interface Decoded {
  readonly passwords: string[]
  readonly allowed: string[]
  limits: Limits | null
  maintenance?: Maintenance & { readonly allowed: string[] }
}

/** 0 is no limit. */
function encodeLimits({ requests, visitorRate, visitorRequests }: Limits): string {
  return `${requests ?? 0}/${(visitorRate ?? 0) * rateSeconds}/${visitorRequests ?? 0}`
}

function decodeLimits(text: string): Limits {
  const [requests = 0, inSeconds = 0, visitorRequests = 0] = text.split('/').map(Number)
  return {
    requests: requests || null,
    visitorRate: inSeconds / rateSeconds || null,
    visitorRequests: visitorRequests || null,
  }
}
