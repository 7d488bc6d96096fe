import { describe, expect, it } from '@jest/globals'
import {
  chainRules,
  jumpsInPlace,
  ourLines,
  parseResolvers,
  removeScript,
  restoreScript,
  type FirewallPolicy,
} from '../../../../src/adapters/docker/firewall-rules.ts'

const policy: FirewallPolicy = {
  installation: 'default',
  bridgePrefix: 'slw37a8eec-',
  denyNetworks: ['10.213.0.0/16', '192.168.7.0/24'],
  bind: '0.0.0.0',
  publicPorts: [80, 443],
}
const host = { resolvers: ['10.0.0.2'], foreignBridges: ['docker0', 'virbr0'], uplinkBridges: ['br-lan'] }
const docker = [
  '*filter',
  ':INPUT ACCEPT [0:0]',
  ':FORWARD DROP [0:0]',
  ':DOCKER-USER - [0:0]',
  '-A FORWARD -j DOCKER-USER',
  '-A DOCKER-USER -j RETURN',
  'COMMIT',
]
const rules = (chain: string, of = policy): string[] =>
  chainRules(of, host)
    .filter((rule) => rule.startsWith(`-A SLW-default-${chain} `))
    .map((rule) => rule.replace(/^-A \S+ /, ''))

describe('the rules', () => {
  it('to the host: answers, name servers, the proxy, nothing else', () => {
    expect(rules('IN')).toEqual([
      '-m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -j ACCEPT',
      '-d 127.0.0.0/8 -j DROP',
      '-p udp -d 10.0.0.2 --dport 53 -j ACCEPT',
      '-p tcp -d 10.0.0.2 --dport 53 -j ACCEPT',
      '-p tcp --dport 80 -j ACCEPT',
      '-p tcp --dport 443 -j ACCEPT',
      '-j REJECT --reject-with icmp-admin-prohibited',
    ])
  })

  it('the proxy only where it listens', () => {
    const proxy = (bind: string): string[] => rules('IN', { ...policy, bind }).filter((r) => /dport (80|443)/.test(r))
    expect(proxy('127.0.0.1')).toEqual([])
    expect(proxy('192.0.2.2')).toEqual([
      '-p tcp -d 192.0.2.2 --dport 80 -j ACCEPT',
      '-p tcp -d 192.0.2.2 --dport 443 -j ACCEPT',
    ])
  })

  it('to elsewhere: name servers first, then what is shut, the uplink before the bridges', () => {
    const reject = '-j REJECT --reject-with icmp-admin-prohibited'
    expect(rules('FW')).toEqual([
      '-p udp -d 10.0.0.2 --dport 53 -j ACCEPT',
      '-p tcp -d 10.0.0.2 --dport 53 -j ACCEPT',
      ...['169.254.0.0/16', '100.100.100.200/32', '168.63.129.16/32', '192.0.0.192/32'].map((r) => `-d ${r} ${reject}`),
      `-d 10.213.0.0/16 ${reject}`,
      `-d 192.168.7.0/24 ${reject}`,
      '-o br-lan -j RETURN',
      ...['docker+', 'br-+', 'slw+', 'docker0', 'virbr0'].map((bridge) => `-o ${bridge} ${reject}`),
    ])
  })
})

describe('writing them', () => {
  it('is one transaction that moves our jumps to the front and keeps others’', () => {
    const saved = [...docker, '-A INPUT -j ufw', '-A INPUT -i slw37a8eec-+ -j SLW-default-IN']
    const script = restoreScript(policy, host, saved).split('\n')
    expect(script[0]).toBe('*filter')
    expect(script.at(-2)).toBe('COMMIT')
    expect(script.filter((line) => line.startsWith('-D'))).toEqual(['-D INPUT -i slw37a8eec-+ -j SLW-default-IN'])
    expect(script.filter((line) => line.startsWith('-I'))).toEqual([
      '-I DOCKER-USER 1 -o slw37a8eec-+ -j SLW-default-TO',
      '-I DOCKER-USER 1 -i slw37a8eec-+ -j SLW-default-FW',
      '-I INPUT 1 -i slw37a8eec-+ -j SLW-default-IN',
    ])
    expect(script.some((line) => line.includes('ufw'))).toBe(false)
  })

  it('hangs on FORWARD itself where nothing leads to DOCKER-USER', () => {
    const script = restoreScript(policy, host, [':INPUT ACCEPT [0:0]', ':DOCKER-USER - [0:0]'])
    expect(script).toContain('-I FORWARD 1 -i slw37a8eec-+ -j SLW-default-FW')
    expect(script).not.toContain('-I DOCKER-USER')
  })

  it('sees whether its jumps stand first', () => {
    const jumps = [
      '-A INPUT -i slw37a8eec-+ -j SLW-default-IN',
      '-A DOCKER-USER -i slw37a8eec-+ -j SLW-default-FW',
      '-A DOCKER-USER -o slw37a8eec-+ -j SLW-default-TO',
    ]
    const forward = '-A FORWARD -j DOCKER-USER'
    expect(jumpsInPlace(policy, [forward, ...jumps])).toBe(true)
    expect(jumpsInPlace(policy, [forward, '-A INPUT -i slw1111111-+ -j SLW-other-IN', ...jumps])).toBe(true)
    expect(jumpsInPlace(policy, [forward, '-A INPUT -j ACCEPT', ...jumps])).toBe(false)
    expect(jumpsInPlace(policy, [forward, ...jumps.slice(1)])).toBe(false)
    expect(jumpsInPlace(policy, [forward, ...jumps, ...jumps])).toBe(false)
    // FORWARD was flushed: nothing leads to them any more.
    expect(jumpsInPlace(policy, jumps)).toBe(false)
  })

  it('takes only its own away', () => {
    const saved = [
      ...docker,
      ':SLW-default-IN - [0:0]',
      ':SLW-default-x-IN - [0:0]',
      '-A INPUT -i slw37a8eec-+ -j SLW-default-IN',
      '-A INPUT -i slw1111111-+ -j SLW-default-x-IN',
    ]
    const script = removeScript('default', saved)
    expect(script?.split('\n')).toEqual([
      '*filter',
      '-D INPUT -i slw37a8eec-+ -j SLW-default-IN',
      '-F SLW-default-IN',
      '-X SLW-default-IN',
      'COMMIT',
      '',
    ])
    expect(removeScript('default', docker)).toBeNull()
    expect(ourLines('default', saved)).toEqual(['-A INPUT -i slw37a8eec-+ -j SLW-default-IN'])
  })
})

describe('the name servers', () => {
  it('are read without loopback, IPv6 and what is not one', () => {
    const text =
      '# x\nnameserver 10.0.0.2\nnameserver 127.0.0.53\n nameserver   169.254.169.254 \nnameserver fd00::1\nsearch a\n'
    expect(parseResolvers(text)).toEqual(['10.0.0.2', '169.254.169.254'])
    expect(parseResolvers('nameserver 10.0.0.2; reboot\nnameserver $(x)')).toEqual([])
  })
})

it('the jumps hang in FORWARD itself where the engine lets something through before its chain for them', () => {
  const late = docker.flatMap((line) =>
    line === '-A FORWARD -j DOCKER-USER' ? ['-A FORWARD -i br-1 ! -o br-1 -j ACCEPT', line] : [line],
  )
  const inserts = (saved: string[]): string[] =>
    restoreScript(policy, host, saved)
      .split('\n')
      .filter((line) => line.startsWith('-I '))
      .map((line) => line.split(' ')[1] ?? '')
  expect(inserts(docker)).toEqual(['DOCKER-USER', 'DOCKER-USER', 'INPUT'])
  expect(inserts(late)).toEqual(['FORWARD', 'FORWARD', 'INPUT'])
})
