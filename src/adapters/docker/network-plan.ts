import { createHash } from 'node:crypto'
import { SlipwayError } from '../../kernel/errors.ts'
import { formatRange, overlaps, parseRange, rangeSize, toAddress, toNumber, type Range } from './ipv4.ts'

/** What the bridges of one installation are to be. Pure; `networks.ts` makes them so. */
export interface NetworkPlan {
  /** Every bridge of this installation begins with it, and no other does. */
  readonly bridgePrefix: string
  /** The whole range that was set aside. */
  readonly range: string
  readonly instances: BridgePlan
  readonly builds: BridgePlan
}

export interface BridgePlan {
  /** The network's name at the engine. */
  readonly name: string
  /** The Linux bridge, at most 15 characters. */
  readonly bridge: string
  readonly subnet: string
  readonly gateway: string
  /** What the engine gives away by itself; null: all. */
  readonly engineRange: string | null
  /** Set aside for the probe that looks whether the firewall holds. */
  readonly canary: string
}

/** A bridge takes 1,023 ports, so a /22 is what one can use. Builds and release commands are few at a time. */
const instanceBits = 22
const buildBits = 24

/** Cuts the installation's range: instances from its beginning, builds and release commands from its end. */
export function planNetworks(installation: string, network: string): NetworkPlan {
  const range = parseRange(network)
  if (range.bits > 26) {
    throw new SlipwayError('bad_request', `The range ${network} in SLIPWAY_NETWORK is too small.`, {
      hint: 'Use a /26 or larger, for example 10.213.0.0/16.',
    })
  }
  const prefix = `slw${createHash('sha256').update(installation).digest('hex').slice(0, 7)}-`
  const instances: Range = { base: range.base, bits: Math.max(instanceBits, range.bits + 1) }
  const bits = Math.max(buildBits, range.bits + 1)
  const builds: Range = { base: range.base + rangeSize(range) - 2 ** (32 - bits), bits }
  return {
    bridgePrefix: prefix,
    range: formatRange(range),
    // Instances have fixed addresses; the engine's own range is one that nobody uses, or it gives away a stopped instance's.
    instances: bridgePlan(`slw-${installation}-0`, `${prefix}0`, instances, true),
    builds: bridgePlan(`slw-${installation}-build`, `${prefix}b`, builds, false),
  }
}

function bridgePlan(name: string, bridge: string, range: Range, fixedAddresses: boolean): BridgePlan {
  const end = range.base + rangeSize(range)
  return {
    name,
    bridge,
    subnet: formatRange(range),
    gateway: toAddress(range.base + 1),
    engineRange: fixedAddresses ? `${toAddress(end - 4)}/30` : null,
    canary: toAddress(end - 5),
  }
}

/** Addresses on the instances' bridge that no instance gets. */
export function reservedAddresses(plan: BridgePlan): string[] {
  const end = toNumber(plan.subnet.split('/')[0] ?? '') + rangeSize(parseRange(plan.subnet))
  return [end - 5, end - 4, end - 3, end - 2].map(toAddress).concat(plan.gateway)
}

export interface Route {
  readonly device: string
  readonly range: string
}

/**
 * The route of the host that the installation's range would take over, or null. Default routes and ones as wide as a whole
 * class A (a provider's private network) are no clash: the narrower route of the bridge goes first.
 */
export function findClash(plan: NetworkPlan, routes: readonly Route[]): Route | null {
  const wanted = parseRange(plan.range)
  const clash = routes.find((route) => {
    const taken = parseRange(route.range)
    return taken.bits > 8 && !route.device.startsWith(plan.bridgePrefix) && overlaps(wanted, taken)
  })
  return clash ?? null
}

/** /proc/net/route: hexadecimal, in the byte order of the machine (all that Node runs on are little-endian). */
export function parseRoutes(text: string): Route[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields.length >= 8)
    .map((fields) => ({
      device: fields[0] ?? '',
      range: `${fromHex(fields[1] ?? '')}/${bitsOf(fields[7] ?? '')}`,
    }))
}

function fromHex(hex: string): string {
  return [6, 4, 2, 0].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)).join('.')
}

function bitsOf(mask: string): number {
  return Number.parseInt(mask, 16).toString(2).replaceAll('0', '').length
}
