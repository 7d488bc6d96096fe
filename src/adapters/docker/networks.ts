import { readFile } from 'node:fs/promises'
import { SlipwayError } from '../../kernel/errors.ts'
import { labelNames } from '../../runtime/index.ts'
import { engineReason, isNotFound, orNull, type Engine } from './engine.ts'
import { findClash, parseRoutes, type BridgePlan, type NetworkPlan } from './network-plan.ts'

interface Whose {
  readonly installation: string
  readonly owner: string | undefined
}

/** 30 s: the first network on an engine takes 75 ms, the 300th 240 ms; a loaded machine needs seconds. */
const timeoutMs = 30_000

/**
 * Makes the bridges of this installation, or finds them. Safe to repeat. A network of that name that is not ours, or is not
 * as it should be, stays untouched and is told (`conflict`).
 */
export async function prepareNetworks(engine: Engine, whose: Whose, plan: NetworkPlan): Promise<void> {
  for (const bridge of [plan.instances, plan.builds]) {
    const found = await findNetwork(engine, bridge.name)
    if (found === null) await createNetwork(engine, whose, plan, bridge)
    else assertOurs(found, whose, bridge)
  }
}

/** Throws `conflict` when the networks of this name are those of another data folder's installation, or of somebody else. */
export async function assertOwnNetworks(engine: Engine, whose: Whose, plan: NetworkPlan): Promise<void> {
  for (const bridge of [plan.instances, plan.builds]) {
    const found = await findNetwork(engine, bridge.name)
    if (found !== null) assertOwner(found, whose, bridge)
  }
}

/** Removes them; for tests and for taking an installation away. Refuses (the engine does) while containers are connected. */
export async function removeNetworks(engine: Engine, installation: string, plan: NetworkPlan): Promise<void> {
  for (const bridge of [plan.instances, plan.builds]) {
    const found = await findNetwork(engine, bridge.name)
    if (found?.Labels?.[labelNames.installation] !== installation) continue
    await engine
      .call(`remove network ${bridge.name}`, (docker) => docker.getNetwork(found.Id).remove(), { timeoutMs })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error
      })
  }
}

interface FoundNetwork {
  readonly Id: string
  readonly Driver: string
  readonly Labels?: Readonly<Record<string, string>> | null
  readonly Options?: Readonly<Record<string, string>> | null
  readonly IPAM?: { readonly Config?: readonly { readonly Subnet?: string }[] | null } | null
}

async function findNetwork(engine: Engine, name: string): Promise<FoundNetwork | null> {
  return orNull(
    engine.call(`inspect network ${name}`, (docker) => docker.getNetwork(name).inspect() as Promise<FoundNetwork>, {
      timeoutMs,
    }),
  )
}

async function createNetwork(engine: Engine, whose: Whose, plan: NetworkPlan, bridge: BridgePlan): Promise<void> {
  const clash = findClash(plan, parseRoutes(await readFile('/proc/net/route', 'utf8')))
  if (clash !== null) throw rangeTaken(plan.range, `the host has a route to ${clash.range} (${clash.device})`)
  try {
    await engine.call(`create network ${bridge.name}`, (docker) => docker.createNetwork(request(whose, bridge)), {
      timeoutMs,
    })
  } catch (error) {
    const reason = engineReason(error)
    if (/overlap/i.test(reason)) throw rangeTaken(plan.range, 'another network of the engine uses it', error)
    throw error
  }
}

function request({ installation, owner }: Whose, bridge: BridgePlan) {
  return {
    Name: bridge.name,
    Driver: 'bridge',
    CheckDuplicate: true,
    EnableIPv6: false,
    Labels: {
      [labelNames.installation]: installation,
      ...(owner === undefined ? {} : { [labelNames.owner]: owner }),
    },
    Options: {
      'com.docker.network.bridge.name': bridge.bridge,
      'com.docker.network.bridge.enable_icc': 'false',
      'com.docker.network.bridge.enable_ip_masquerade': 'true',
    },
    IPAM: {
      Driver: 'default',
      Config: [
        {
          Subnet: bridge.subnet,
          Gateway: bridge.gateway,
          ...(bridge.engineRange === null ? {} : { IPRange: bridge.engineRange }),
          AuxiliaryAddresses: { canary: bridge.canary },
        },
      ],
    },
  }
}

function assertOwner(found: FoundNetwork, { installation, owner }: Whose, bridge: BridgePlan): void {
  if (found.Labels?.[labelNames.installation] !== installation) {
    throw new SlipwayError('conflict', `The engine has a network ${bridge.name} that is not Slipway’s.`, {
      hint: 'Remove or rename that network, or choose another SLIPWAY_INSTALLATION.',
    })
  }
  // Two data folders with one name would remove each other's containers as left over.
  const foundOwner = found.Labels[labelNames.owner]
  if (owner !== undefined && foundOwner !== undefined && foundOwner !== owner) {
    throw new SlipwayError(
      'conflict',
      `The engine runs the sites of another Slipway that is called “${installation}” too, with another data folder.`,
      {
        hint: 'Give this one its own SLIPWAY_INSTALLATION, SLIPWAY_NETWORK and SLIPWAY_HTTP_PORT, or set SLIPWAY_DATA to the folder of that one. If that folder is lost: npm run remove -- --orphaned takes away what it left on the engine.',
      },
    )
  }
}

function assertOurs(found: FoundNetwork, whose: Whose, bridge: BridgePlan): void {
  assertOwner(found, whose, bridge)
  const subnet = found.IPAM?.Config?.[0]?.Subnet
  const isolated = found.Options?.['com.docker.network.bridge.enable_icc'] === 'false'
  const named = found.Options?.['com.docker.network.bridge.name'] === bridge.bridge
  if (subnet === bridge.subnet && isolated && named && found.Driver === 'bridge') return
  throw new SlipwayError(
    'conflict',
    `The network ${bridge.name} is there with other settings (${subnet ?? 'no range'} instead of ${bridge.subnet}).`,
    {
      hint: 'Set SLIPWAY_NETWORK back to what it was, or stop this installation’s containers and remove the network (docker network rm).',
    },
  )
}

function rangeTaken(range: string, why: string, cause?: unknown): SlipwayError {
  return new SlipwayError('conflict', `The address range ${range} cannot be used: ${why}.`, {
    hint: 'Choose a free range, for example SLIPWAY_NETWORK=10.214.0.0/16.',
    cause,
  })
}
