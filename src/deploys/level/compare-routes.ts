import type { Routes, RouteTarget, Rules, Target } from '../../routing/index.ts'

/** In which entries the proxy differs from what it should hold, a sentence for each. */
export function compareRoutes(wanted: Routes, there: Routes): string[] {
  return [
    ...compare('The host', wanted.hosts, there.hosts, (key) => key),
    ...compare('The route', wanted.keys, there.keys, textOfTarget),
    ...compare('The set', wanted.sets, there.sets, textOfMembers),
    ...compare('The time limit of', wanted.timeouts ?? new Map(), there.timeouts ?? new Map(), String),
    ...compareRules(wanted.rules ?? new Map(), there.rules ?? new Map()),
  ]
}

function compare<V>(
  what: string,
  wanted: ReadonlyMap<string, V>,
  there: ReadonlyMap<string, V>,
  text: (value: V) => string,
): string[] {
  const told: string[] = []
  for (const [key, value] of wanted) {
    const now = there.get(key)
    if (now === undefined) told.push(`${what} ${key} is missing in the proxy (wanted: ${text(value)})`)
    else if (text(now) !== text(value)) told.push(`${what} ${key} leads to ${text(now)} (wanted: ${text(value)})`)
  }
  for (const [key, value] of there) {
    if (!wanted.has(key)) told.push(`${what} ${key} is in the proxy for nobody (${text(value)})`)
  }
  return told
}

function textOfTarget(to: RouteTarget): string {
  return 'state' in to ? to.state : `${to.set}/${to.size}`
}

function textOfMembers(members: readonly Target[]): string {
  // A damaged map can have gaps.
  return Array.from(members, (member: Target | undefined) => (member ? `${member.address}:${member.port}` : '-')).join(
    ' ',
  )
}

/** Passwords are no text for people, not even their hashes. */
function compareRules(wanted: ReadonlyMap<number, Rules>, there: ReadonlyMap<number, Rules>): string[] {
  const ids = new Set([...wanted.keys(), ...there.keys()])
  return [...ids]
    .filter((id) => textOfRules(wanted.get(id)) !== textOfRules(there.get(id)))
    .map((id) => `The rules of environment e${id} (passwords, addresses, limits, maintenance) are others in the proxy`)
}

function textOfRules(rules: Rules | undefined): string {
  if (rules === undefined) return '-'
  const { requests = null, visitorRate = null, visitorRequests = null } = rules.limits ?? {}
  const lists = [rules.passwords, rules.allowed].map((list) => [...list].sort().join(' '))
  const { message = null, allowed = [] } = rules.maintenance ?? {}
  return [...lists, requests, visitorRate, visitorRequests, message, [...allowed].sort().join(' ')].join('|')
}
