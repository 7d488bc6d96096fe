/*
 * What the firewall must be, as text for iptables-restore. Pure: what is there comes in as the text of iptables-save.
 *
 * Three chains. IN: from Slipway's bridges to the host itself. FW: from them to anywhere else. TO: from anywhere else to them.
 * The rules match the bridges' interfaces, not addresses, since a build may send with a source address of its choice.
 */

export interface FirewallPolicy {
  readonly installation: string
  /** What every bridge of this installation begins with. */
  readonly bridgePrefix: string
  /** CIDRs that nothing on the bridges may reach: the installation's own range and what the operator named. */
  readonly denyNetworks: readonly string[]
  /** The address that the proxy listens on, and its public ports. On a loopback address there is nothing to allow. */
  readonly bind: string
  readonly publicPorts: readonly number[]
}

/** What the host looks like now; read anew each time, because resolvers and bridges come and go. */
export interface HostNetwork {
  readonly resolvers: readonly string[]
  /** Bridges that are not this installation's and carry no default route. */
  readonly foreignBridges: readonly string[]
  /** Bridges that carry a default route: the way out, whatever they are called. */
  readonly uplinkBridges: readonly string[]
}

/** Link-local (cloud metadata), and the addresses outside it where some clouds hand out credentials. */
const metadataNetworks = ['169.254.0.0/16', '100.100.100.200/32', '168.63.129.16/32', '192.0.0.192/32']

/** Docker's bridges and those of any Slipway, also ones that were made a moment ago. */
const bridgePatterns = ['docker+', 'br-+', 'slw+']

const reject = '-j REJECT --reject-with icmp-admin-prohibited'
// REPLY: only what answers a connection that the other side opened; RELATED: its ICMP errors.
const answers = '-m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -j ACCEPT'

export function chainNames(installation: string): { in: string; fw: string; to: string } {
  return { in: `SLW-${installation}-IN`, fw: `SLW-${installation}-FW`, to: `SLW-${installation}-TO` }
}

export function chainRules(policy: FirewallPolicy, host: HostNetwork): string[] {
  const chain = chainNames(policy.installation)
  const dns = host.resolvers.flatMap((address) =>
    ['udp', 'tcp'].map((protocol) => `-p ${protocol} -d ${address} --dport 53 -j ACCEPT`),
  )
  const into = [
    answers,
    // Reachable from a bridge only where route_localnet is set, which engines without userland proxy do.
    '-d 127.0.0.0/8 -j DROP',
    ...dns,
    ...proxyRules(policy),
    reject,
  ]
  const forward = [
    ...dns,
    ...[...metadataNetworks, ...policy.denyNetworks].map((range) => `-d ${range} ${reject}`),
    ...host.uplinkBridges.map((bridge) => `-o ${bridge} -j RETURN`),
    ...[...bridgePatterns, ...host.foreignBridges].map((bridge) => `-o ${bridge} ${reject}`),
  ]
  return [
    ...into.map((rule) => `-A ${chain.in} ${rule}`),
    ...forward.map((rule) => `-A ${chain.fw} ${rule}`),
    ...[answers, '-j DROP'].map((rule) => `-A ${chain.to} ${rule}`),
  ]
}

function proxyRules({ bind, publicPorts }: FirewallPolicy): string[] {
  if (bind.startsWith('127.')) return []
  const destination = bind === '0.0.0.0' ? '' : `-d ${bind} `
  return publicPorts.map((port) => `-p tcp ${destination}--dport ${port} -j ACCEPT`)
}

interface Jump {
  readonly parent: string
  readonly rule: string
}

/**
 * Where the chains hang: before everything but other Slipways' jumps. FORWARD itself when the engine has no DOCKER-USER in use, or
 * lets something through before it: one that comes back while containers live may write its rules there.
 */
function jumps(policy: FirewallPolicy, saved: readonly string[]): Jump[] {
  const chain = chainNames(policy.installation)
  const forwards = saved.filter((line) => line.startsWith('-A FORWARD '))
  const ofEngine = forwards.indexOf('-A FORWARD -j DOCKER-USER')
  const passed = forwards.slice(0, Math.max(0, ofEngine)).some((rule) => rule.endsWith(' -j ACCEPT'))
  const forward = ofEngine === -1 || passed ? 'FORWARD' : 'DOCKER-USER'
  return [
    { parent: 'INPUT', rule: `-i ${policy.bridgePrefix}+ -j ${chain.in}` },
    { parent: forward, rule: `-i ${policy.bridgePrefix}+ -j ${chain.fw}` },
    { parent: forward, rule: `-o ${policy.bridgePrefix}+ -j ${chain.to}` },
  ]
}

/** One transaction that makes the firewall what it must be, whatever of it is there. */
export function restoreScript(policy: FirewallPolicy, host: HostNetwork, saved: readonly string[]): string {
  const chain = chainNames(policy.installation)
  return [
    '*filter',
    // Naming a chain empties it, or makes it.
    ...Object.values(chain).map((name) => `:${name} - [0:0]`),
    ...chainRules(policy, host),
    ...ourJumps(policy.installation, saved).map((line) => line.replace(/^-A/, '-D')),
    ...jumps(policy, saved)
      .reverse()
      .map(({ parent, rule }) => `-I ${parent} 1 ${rule}`),
    'COMMIT',
    '',
  ].join('\n')
}

/**
 * The same for a machine that has just started, where the engine has written nothing yet and its chain for the administrator's
 * rules may have to be made first (`iptables -N DOCKER-USER`): it leaves in there what it finds, and brings it before its own.
 */
export function bootScript(policy: FirewallPolicy, host: HostNetwork): string {
  const engineToBe = ['-A FORWARD -j DOCKER-USER']
  return restoreScript(policy, host, engineToBe).replace('COMMIT', '-I FORWARD 1 -j DOCKER-USER\nCOMMIT')
}

/** Takes every trace away; null when there is none. */
export function removeScript(installation: string, saved: readonly string[]): string | null {
  const there = Object.values(chainNames(installation)).filter((name) => saved.some((l) => l.startsWith(`:${name} `)))
  if (there.length === 0) return null
  return [
    '*filter',
    ...ourJumps(installation, saved).map((line) => line.replace(/^-A/, '-D')),
    ...there.map((name) => `-F ${name}`),
    ...there.map((name) => `-X ${name}`),
    'COMMIT',
    '',
  ].join('\n')
}

/** The lines of iptables-save that are ours, in their order: to see whether anything changed since they were written. */
export function ourLines(installation: string, saved: readonly string[]): string[] {
  const names = Object.values(chainNames(installation))
  return saved.filter((line) => names.some((name) => line.startsWith(`-A ${name} `) || line.endsWith(` -j ${name}`)))
}

/** True when the jumps are there, once each, and nothing but other Slipways' jumps stands before them. */
export function jumpsInPlace(policy: FirewallPolicy, saved: readonly string[]): boolean {
  const wanted = jumps(policy, saved)
  if (ourJumps(policy.installation, saved).length !== wanted.length) return false
  return wanted.every(({ parent, rule }) => {
    const rules = saved.filter((line) => line.startsWith(`-A ${parent} `))
    const at = rules.indexOf(`-A ${parent} ${rule}`)
    return at !== -1 && rules.slice(0, at).every((line) => / -j SLW-[a-z0-9-]+-(?:IN|FW|TO)$/.test(line))
  })
}

function ourJumps(installation: string, saved: readonly string[]): string[] {
  const names = Object.values(chainNames(installation))
  return saved.filter((line) => line.startsWith('-A ') && names.some((name) => line.endsWith(` -j ${name}`)))
}

/** IPv4 name servers of a resolv.conf that are not on loopback. */
export function parseResolvers(text: string): string[] {
  return text
    .split('\n')
    .map((line) => /^\s*nameserver\s+(\d{1,3}(?:\.\d{1,3}){3})\s*$/.exec(line)?.[1])
    .filter((address): address is string => address !== undefined && !address.startsWith('127.'))
}
