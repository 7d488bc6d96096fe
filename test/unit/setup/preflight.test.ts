import { describe, expect, it } from '@jest/globals'
import { findClash, parseRoutes } from '../../../src/setup/preflight.ts'

const table = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0100A8C0	0003	0	0	0	00000000	0	0	0
docker0	000011AC	00000000	0001	0	0	0	0000FFFF	0	0	0
tun0	0000D50A	00000000	0001	0	0	0	0080FFFF	0	0	0
slw0badcafe-0	00E0D50A	00000000	0001	0	0	0	00F8FFFF	0	0	0
`
const routes = parseRoutes(table)
const clash = (range: string, ours = 'slw0badcafe-') =>
  findClash(range, routes, (device) => device.startsWith(ours))?.device ?? null

describe('the network for instances', () => {
  it('clashes with a route inside it, around it, or the same', () => {
    expect(clash('172.17.0.0/24')).toBe('docker0')
    expect(clash('172.16.0.0/12')).toBe('docker0')
    expect(clash('172.17.0.0/16')).toBe('docker0')
    expect(clash('10.213.64.0/18')).toBe('tun0')
    expect(clash('10.0.0.0/8')).toBe('tun0')
    expect(clash('0.0.0.0/0')).toBe('docker0')
  })

  it('does not clash with the default route, with neighbours, or with bridges of this installation', () => {
    expect(clash('192.168.7.0/24')).toBeNull()
    expect(clash('172.18.0.0/16')).toBeNull()
    expect(clash('10.213.128.0/17')).toBeNull()
    expect(clash('10.213.128.0/17', 'slwfffffff-')).toBe('slw0badcafe-0')
  })
})
