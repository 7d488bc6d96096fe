import { describe, expect, it } from '@jest/globals'
import { parseState } from '../../../src/setup/service/systemctl.ts'
import { pickSettings, renderSettings, renderUnits, unitNames } from '../../../src/setup/service/units.ts'

const facts = {
  installation: 'default',
  dataDir: '/var/lib/slipway',
  root: '/opt/slip way/$x%n',
  node: '/usr/bin/node',
  ownPostgres: true,
}
const unit = (name: string, more: Partial<typeof facts> = {}): string =>
  renderUnits({ ...facts, ...more }).find((found) => found.name === name)?.text ?? ''

describe('the units', () => {
  it('are four, named with the installation when it is not the default; no database when others look after it', () => {
    expect(renderUnits(facts).map(({ name }) => name)).toEqual([
      'slipway-firewall.service',
      'slipway-postgres.service',
      'slipway-proxy.service',
      'slipway.service',
    ])
    expect(renderUnits({ ...facts, installation: 'two', ownPostgres: false }).map(({ name }) => name)).toEqual([
      'slipway-firewall-two.service',
      'slipway-proxy-two.service',
      'slipway-two.service',
    ])
    expect(unitNames('two').postgres).toBe('slipway-postgres-two.service')
  })

  it('are wanted by Slipway’s, so that none stops another, and all come back', () => {
    expect(unit('slipway.service')).toContain('Wants=slipway-postgres.service slipway-proxy.service docker.service\n')
    for (const { name, text } of renderUnits(facts)) {
      if (name !== 'slipway-firewall.service') expect(text).toMatch(/^Restart=always$/m)
      expect(text).not.toMatch(/^(?:Requires|BindsTo|PartOf)=/m)
    }
  })

  it('load the firewall before the engine starts, from a file that Slipway has written', () => {
    expect(unit('slipway-firewall.service')).toMatch(/^Before=docker.service$/m)
    expect(unit('slipway-firewall.service')).toContain(
      'ExecStart=/usr/sbin/iptables-restore --wait 5 --noflush /var/lib/slipway/firewall.rules\n',
    )
  })

  it('quote a path so that systemd takes it for nothing else', () => {
    expect(unit('slipway.service')).toContain('"/opt/slip way/$$x%%n/src/setup/start.ts" --no-demo')
    // A failure of that does not keep the server from starting.
    expect(unit('slipway.service')).toContain(
      'ExecStartPre=-/usr/bin/node "/opt/slip way/$$x%%n/src/setup/launch.mjs" compile\n',
    )
  })

  it('see the temporary folder of the machine when the data lies in it', () => {
    expect(unit('slipway.service')).toContain('PrivateTmp=yes')
    expect(unit('slipway.service', { dataDir: '/tmp/x' })).not.toContain('PrivateTmp')
  })
})

describe('the settings of the service', () => {
  it('are those of Slipway alone, and not those of the command line', () => {
    const env = {
      PATH: '/bin',
      HOME: '/root',
      SLIPWAY_DOMAIN: 'example.org',
      SLIPWAY_TOKEN: 'of-a-person',
      SLIPWAY_YES: '1',
      SLIPWAY_BIND: '',
      DATABASE_URL: 'postgres://u:p@h/d',
    }
    expect(pickSettings(env)).toEqual({ SLIPWAY_DOMAIN: 'example.org', DATABASE_URL: 'postgres://u:p@h/d' })
  })

  it('stand in a file as they are, whatever is in a value', () => {
    expect(renderSettings({ A: 'a"b\\c$d`e' })).toContain('A="a\\"b\\\\c\\$d\\`e"\n')
  })

  it('are in no unit: everybody may read those', () => {
    const [firewall = '', ...texts] = renderUnits(facts).map(({ text }) => text)
    expect(firewall).not.toContain('Environment')
    for (const text of texts) {
      expect(text).toContain('EnvironmentFile=/var/lib/slipway/service.env')
      expect(text.match(/^Environment=(\S+?)=/gm)).toEqual([
        'Environment=SLIPWAY_KEPT_BY=',
        'Environment=NODE_COMPILE_CACHE=',
      ])
    }
  })
})

it('what systemctl tells of a unit is read', () => {
  const text = 'ActiveState=active\nUnitFileState=enabled\nMainPID=77\nNRestarts=2\n'
  expect(parseState('x', text)).toEqual({
    unit: 'x',
    active: 'active',
    enabled: true,
    pid: 77,
    once: false,
    restarts: 2,
  })
  expect(parseState('x', '')).toEqual({
    unit: 'x',
    active: 'unknown',
    enabled: false,
    pid: null,
    once: false,
    restarts: 0,
  })
})
