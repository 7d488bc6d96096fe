import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { overlaps, parseRange, rangeSize, toNumber } from '../../../../src/adapters/docker/ipv4.ts'
import {
  findClash,
  parseRoutes,
  planNetworks,
  reservedAddresses,
} from '../../../../src/adapters/docker/network-plan.ts'

describe('the plan of the networks', () => {
  it('cuts the default range', () => {
    expect(planNetworks('default', '10.213.0.0/16')).toEqual({
      bridgePrefix: 'slw37a8eec-',
      range: '10.213.0.0/16',
      instances: {
        name: 'slw-default-0',
        bridge: 'slw37a8eec-0',
        subnet: '10.213.0.0/22',
        gateway: '10.213.0.1',
        engineRange: '10.213.3.252/30',
        canary: '10.213.3.251',
      },
      builds: {
        name: 'slw-default-build',
        bridge: 'slw37a8eec-b',
        subnet: '10.213.255.0/24',
        gateway: '10.213.255.1',
        engineRange: null,
        canary: '10.213.255.251',
      },
    })
  })

  it('cuts any range into two that lie inside it and do not touch', () => {
    const anyRange = fc.tuple(fc.nat({ max: 0xffffff }), fc.integer({ min: 8, max: 26 }))
    fc.assert(
      fc.property(anyRange, ([top, bits]) => {
        const network = `${10 + (top % 100)}.${(top >> 8) & 255}.${(top >> 16) & 255}.0/${bits}`
        const range = parseRange(network)
        const { instances, builds } = planNetworks('x', network)
        for (const { subnet, gateway, canary } of [instances, builds]) {
          const part = parseRange(subnet)
          expect(part.base).toBeGreaterThanOrEqual(range.base)
          expect(part.base + rangeSize(part)).toBeLessThanOrEqual(range.base + rangeSize(range))
          for (const address of [gateway, canary]) {
            expect(overlaps(part, { base: toNumber(address), bits: 32 })).toBe(true)
          }
        }
        expect(overlaps(parseRange(instances.subnet), parseRange(builds.subnet))).toBe(false)
        expect(rangeSize(parseRange(instances.subnet))).toBeLessThanOrEqual(1024)
      }),
    )
  })

  it('keeps the names of bridges short and apart', () => {
    const names = ['a', 'b', 'default', 'a-very-long-name'].map((name) => planNetworks(name, '10.0.0.0/16'))
    for (const { instances, builds } of names) {
      expect(instances.bridge.length).toBeLessThanOrEqual(15)
      // The canary's device has two characters more.
      expect(`${builds.bridge}c0`.length).toBeLessThanOrEqual(15)
    }
    expect(new Set(names.map(({ bridgePrefix }) => bridgePrefix)).size).toBe(4)
  })

  it('reserves the gateway, the engine’s own range and the canary', () => {
    const { instances } = planNetworks('default', '10.213.0.0/16')
    const reserved = ['10.213.3.251', '10.213.3.252', '10.213.3.253', '10.213.3.254', '10.213.0.1']
    expect(reservedAddresses(instances)).toEqual(reserved)
  })

  it('refuses a range that is too small', () => {
    expect(() => planNetworks('default', '10.0.0.0/27')).toThrow('too small')
  })
})

describe('a clash with the host’s routes', () => {
  const header = 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n'
  const routes = parseRoutes(
    `${header}eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\ntun0\t0000D50A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n`,
  )
  it('reads /proc/net/route', () => {
    expect(routes).toEqual([
      { device: 'eth0', range: '0.0.0.0/0' },
      { device: 'tun0', range: '10.213.0.0/16' },
    ])
  })
  it.each([
    ['10.213.0.0/16', 'tun0', 'a route to all of it'],
    ['10.213.7.0/24', 'tun0', 'a route to a part of it'],
    ['10.192.0.0/10', 'tun0', 'a wider route'],
  ])('%s by %s: %s', (range, device) => {
    expect(findClash(planNetworks('default', '10.213.0.0/16'), [{ range, device }])).toEqual({ range, device })
  })
  it.each([
    ['0.0.0.0/0', 'eth0', 'the default route'],
    ['10.0.0.0/8', 'eth1', 'a provider’s whole private network'],
    ['10.214.0.0/16', 'tun0', 'a neighbour'],
    ['10.213.0.0/22', 'slw37a8eec-0', 'its own bridge'],
  ])('none: %s by %s, %s', (range, device) => {
    expect(findClash(planNetworks('default', '10.213.0.0/16'), [{ range, device }])).toBeNull()
  })
})
