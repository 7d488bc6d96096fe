import { join } from 'node:path'
import { firewallFile } from '../../adapters/docker/firewall-file.ts'

/*
 * What systemd is told, as text: a unit for each part, so that each comes back by itself and none takes another with it. The
 * settings stand in a file of root's (0600) beside them; a unit can be read by everybody.
 */

export interface UnitFacts {
  readonly installation: string
  readonly dataDir: string
  /** Slipway's own folder. */
  readonly root: string
  /** The program that runs the server: absolute. */
  readonly node: string
  /** False when DATABASE_URL names a server that others look after. */
  readonly ownPostgres: boolean
}

export interface Unit {
  /** Such as `slipway-proxy.service`. */
  readonly name: string
  readonly text: string
}

export type UnitNames = Readonly<Record<'firewall' | 'postgres' | 'proxy' | 'slipway', string>>

/** Those of the installation `default` have the plain names. */
export function unitNames(installation: string): UnitNames {
  const suffix = installation === 'default' ? '' : `-${installation}`
  return {
    firewall: `slipway-firewall${suffix}.service`,
    postgres: `slipway-postgres${suffix}.service`,
    proxy: `slipway-proxy${suffix}.service`,
    slipway: `slipway${suffix}.service`,
  }
}

export const settingsFile = (dataDir: string): string => join(dataDir, 'service.env')

/** In the order in which they start. */
export function renderUnits(facts: UnitFacts): Unit[] {
  const names = unitNames(facts.installation)
  return [
    { name: names.firewall, text: firewallUnit(facts) },
    ...(facts.ownPostgres ? [{ name: names.postgres, text: postgresUnit(facts) }] : []),
    { name: names.proxy, text: proxyUnit(facts) },
    { name: names.slipway, text: slipwayUnit(facts, names) },
  ]
}

/** Nothing of Slipway's own runs in it: the engine starts instances whether or not that can start. */
function firewallUnit({ installation, dataDir }: UnitFacts): string {
  const rules = firewallFile(dataDir)
  return render({
    Unit: [
      `Description=Slipway’s firewall, before the engine starts instances (${installation})`,
      '# Those that may empty the tables at their start.',
      'After=ufw.service firewalld.service nftables.service netfilter-persistent.service',
      'Before=docker.service',
      `ConditionPathExists=${escapePercent(rules)}`,
    ],
    Service: [
      'Type=oneshot',
      'RemainAfterExit=yes',
      '# The engine’s chain for such rules; it is there when another installation was quicker.',
      'ExecStart=-/usr/sbin/iptables --wait 5 --new-chain DOCKER-USER',
      `ExecStart=/usr/sbin/iptables-restore --wait 5 --noflush ${quoteWord(rules)}`,
      'NoNewPrivileges=yes',
      'ProtectSystem=full',
      'ProtectHome=read-only',
    ],
    Install: ['WantedBy=multi-user.target'],
  })
}

function postgresUnit(facts: UnitFacts): string {
  return render({
    Unit: [`Description=Slipway’s database (${facts.installation})`, 'StartLimitIntervalSec=0'],
    Service: [
      'Type=notify',
      ...started(facts, ['src/setup/run-part.ts', 'postgres']),
      '# Ends open connections, writes what it has and stops.',
      'KillSignal=SIGINT',
      'KillMode=mixed',
      '# Recovery after a power cut may take its time.',
      'TimeoutStartSec=30min',
      'TimeoutStopSec=2min',
      'Restart=always',
      'RestartSec=1',
      'OOMScoreAdjust=-900',
      ...hardened(facts),
      'ProtectKernelTunables=yes',
      'ProtectControlGroups=yes',
      'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
      '# Root only for making the folders ready; the server runs as the user postgres.',
      'CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE CAP_KILL CAP_SYS_PTRACE',
    ],
    Install: ['WantedBy=multi-user.target'],
  })
}

function proxyUnit(facts: UnitFacts): string {
  return render({
    Unit: [
      `Description=Slipway’s proxy (${facts.installation})`,
      'Wants=network-online.target',
      'After=network-online.target',
      'StartLimitIntervalSec=0',
    ],
    Service: [
      'Type=notify',
      ...started(facts, ['src/setup/run-part.ts', 'proxy']),
      '# The way to start it anew (after an upgrade of HAProxy, too): the new process takes the sockets over, nothing is refused.',
      'ExecReload=/bin/kill -USR2 $MAINPID',
      '# Lets open requests finish, those that last are cut.',
      'KillSignal=SIGUSR1',
      'KillMode=mixed',
      'TimeoutStopSec=10',
      '# Ended by hand, it comes back too: systemctl stop is the way to stop it.',
      'Restart=always',
      'RestartSec=200ms',
      'LimitNOFILE=131072',
      'OOMScoreAdjust=-900',
      ...hardened(facts),
      'ProtectKernelTunables=yes',
      'ProtectControlGroups=yes',
      'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
      '# The workers are the user haproxy, locked into run/.',
      'CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_SYS_CHROOT CAP_SYS_RESOURCE CAP_KILL CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE',
    ],
    Install: ['WantedBy=multi-user.target'],
  })
}

function slipwayUnit(facts: UnitFacts, names: UnitNames): string {
  const parts = [...(facts.ownPostgres ? [names.postgres] : []), names.proxy]
  return render({
    Unit: [
      `Description=Slipway (${facts.installation})`,
      '# Wants, not Requires: none of them stops or starts anew because another does.',
      `Wants=${parts.join(' ')} docker.service`,
      `After=${parts.join(' ')} docker.service network-online.target`,
      'StartLimitIntervalSec=0',
    ],
    Service: [
      'Type=notify',
      'NotifyAccess=all',
      ...started(facts, ['--max-semi-space-size=1', 'src/setup/start.ts', '--no-demo']),
      '# Only after an upgrade is there something to do; a failure only costs memory.',
      `ExecStartPre=-${[facts.node, join(facts.root, 'src/setup/launch.mjs'), 'compile'].map(quoteWord).join(' ')}`,
      '# Deploys are given back at their last safe step; what still runs then is ended.',
      'KillMode=mixed',
      'TimeoutStartSec=30min',
      'TimeoutStopSec=30',
      '# A server that does nothing at all any more is ended and started anew.',
      'WatchdogSec=2min',
      'Restart=always',
      'RestartSec=2',
      '# Wrong use does not mend itself.',
      'RestartPreventExitStatus=2',
      'LimitNOFILE=65536',
      'OOMScoreAdjust=-500',
      '# It sets up networks, firewall and memory groups of the host and asks the engine for containers: root, and no more shut in than this.',
      ...hardened(facts),
    ],
    Install: ['WantedBy=multi-user.target'],
  })
}

/** The environment, and the command line: flags of Node first, then a file below Slipway's folder, then its arguments. */
function started(facts: UnitFacts, words: readonly string[]): string[] {
  const command = words.map((word) => (word.endsWith('.ts') ? join(facts.root, word) : word))
  return [
    `EnvironmentFile=${escapePercent(settingsFile(facts.dataDir))}`,
    'Environment=SLIPWAY_KEPT_BY=systemd',
    `Environment=${quoteWord(`NODE_COMPILE_CACHE=${join(facts.dataDir, 'cache')}`)}`,
    `ExecStart=${[facts.node, '--disable-warning=ExperimentalWarning', ...command].map(quoteWord).join(' ')}`,
  ]
}

/** What none of the three needs. Settings that forbid making memory executable would stop Node's and PostgreSQL's compilers. */
function hardened({ dataDir }: UnitFacts): string[] {
  const temporary = /^\/(?:var\/)?tmp(?:\/|$)/.test(dataDir)
  return [
    'UMask=0022',
    'NoNewPrivileges=yes',
    'ProtectSystem=full',
    'ProtectHome=read-only',
    `ReadWritePaths=${quoteWord(dataDir)}`,
    ...(temporary ? [] : ['PrivateTmp=yes']),
    'ProtectClock=yes',
    'ProtectHostname=yes',
    'ProtectKernelModules=yes',
    'ProtectKernelLogs=yes',
    'RestrictRealtime=yes',
    'RestrictSUIDSGID=yes',
    'LockPersonality=yes',
    'SystemCallArchitectures=native',
  ]
}

function render(sections: Readonly<Record<string, readonly string[]>>): string {
  const head = '# Written by `slipway service install`; the next one writes it anew. Own changes: systemctl edit.\n\n'
  return (
    head +
    Object.entries(sections)
      .map(([name, lines]) => `[${name}]\n${lines.join('\n')}\n`)
      .join('\n')
  )
}

const escapePercent = (text: string): string => text.replaceAll('%', '%%')

/** One word of a command line, for systemd: no variables, no specifiers, no splitting. */
function quoteWord(word: string): string {
  const plain = escapePercent(word).replaceAll('$', '$$$$')
  return /^[A-Za-z0-9_./=:@+,%$-]+$/.test(plain) ? plain : `"${plain.replaceAll(/["\\]/g, '\\$&')}"`
}

/** The settings as systemd reads them from a file: nothing in a value is taken for anything but itself. */
export function renderSettings(settings: Readonly<Record<string, string>>): string {
  const lines = Object.entries(settings).map(([name, value]) => `${name}="${value.replaceAll(/["\\`$]/g, '\\$&')}"`)
  return `# Slipway's settings as a service; for root only. After a change: systemctl restart slipway.\n${lines.join('\n')}\n`
}

/** Settings that a service is given: those of Slipway and its database and engine, but not those of the command line. */
export function pickSettings(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const others = new Set(['SLIPWAY_YES', 'SLIPWAY_URL', 'SLIPWAY_TOKEN', 'SLIPWAY_KEPT_BY', 'SLIPWAY_FAULT_POINT'])
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      (name.startsWith('SLIPWAY_') || name === 'DATABASE_URL' || name === 'DOCKER_HOST') &&
      !others.has(name) &&
      value !== undefined &&
      value !== ''
        ? [[name, value] as const]
        : [],
    ),
  )
}
