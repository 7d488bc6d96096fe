import { isAtLeast } from '../kernel/version.ts'
import { type Finding, isBad, isOk, type Subject } from './finding.ts'

/*
 * What Slipway stands on: engine, database, proxy, tools. Each function judges what was read.
 */

export interface EngineFacts {
  readonly version: string
  readonly apiVersion: string
  readonly liveRestore: boolean
  readonly swarm: boolean
  /** Containers on the default bridge cannot reach each other. */
  readonly isolatesContainers: boolean
  readonly limits: { readonly memory: boolean; readonly cpu: boolean; readonly pids: boolean }
  readonly cgroups: string
  readonly dataRoot: string
}

export function judgeEngine(engine: EngineFacts): Finding[] {
  const version: Subject = { check: 'engine', why: 'Older engines lack what Slipway asks of them.' }
  const restore: Subject = {
    check: 'engine: live-restore',
    why: 'With it sites go on while the engine restarts or crashes; without it all of them stop.',
  }
  const walls: Subject = {
    check: 'engine: icc',
    why: 'Containers of others on the default bridge can reach each other; Slipway’s own are never there.',
  }
  const limits: Subject = {
    check: 'cgroups',
    why: 'Without limits one app can take the memory, the processors or all processes of the machine.',
  }
  const told = `Docker ${engine.version}, API ${engine.apiVersion}`
  const lacking = Object.entries(engine.limits).flatMap(([name, has]) => (has ? [] : [name]))
  const file = '/etc/docker/daemon.json'
  return [
    isAtLeast(engine.apiVersion, '1.41')
      ? isOk(version, told)
      : isBad(version, 'fail', { what: told, mend: 'Install Docker 20.10 or newer.' }),
    engine.liveRestore
      ? isOk(restore, 'It is on')
      : isBad(restore, 'warn', {
          what: engine.swarm ? 'It is off, because the engine is in Swarm mode' : 'It is off',
          mend: engine.swarm
            ? 'Leave the swarm (docker swarm leave) if nothing else needs it.'
            : `Put "live-restore": true into ${file}, then: systemctl reload docker`,
        }),
    engine.isolatesContainers
      ? isOk(walls, 'Containers on the default bridge are kept apart')
      : isBad(walls, 'warn', {
          what: 'Containers on the default bridge can reach each other',
          mend: `Put "icc": false into ${file}, then: systemctl restart docker`,
        }),
    lacking.length === 0
      ? isOk(limits, `Version ${engine.cgroups}; memory, processors and processes can be limited`)
      : isBad(limits, lacking.includes('memory') ? 'fail' : 'warn', {
          what: `Version ${engine.cgroups}; no limits for ${lacking.join(', ')}`,
          mend: 'Turn the controllers on in the kernel’s command line, such as cgroup_enable=memory, and restart the machine.',
        }),
  ]
}

/** One that was away begins anew: whoever asks why sites failed at night sees when that was. */
const since = (at: Date): string => `since ${at.toISOString().replace(/\.\d+Z$/, 'Z')}`

export interface DatabaseFacts {
  /** server_version_num: 150008 */
  readonly version: number
  /** The database’s clock minus ours. */
  readonly clockAheadMs: number
  readonly connections: { readonly used: number; readonly most: number }
  readonly startedAt: Date
}

export function judgeDatabase({ version, clockAheadMs, connections, startedAt }: DatabaseFacts): Finding[] {
  const postgres: Subject = { check: 'database', why: 'Slipway keeps everything it knows in PostgreSQL.' }
  const clock: Subject = {
    check: 'clock',
    why: 'Times in logs and status come from both; certificates and tokens need the right time.',
  }
  const what = `PostgreSQL ${Math.floor(version / 10_000)}.${version % 10_000}, ${since(startedAt)}, ${connections.used} of ${connections.most} connections`
  const mend = 'Use PostgreSQL 15 or newer.'
  const seconds = Math.abs(clockAheadMs) / 1000
  const apart = `The database’s clock and this machine’s are ${seconds.toFixed(1)} s apart`
  return [
    version < 130_000
      ? isBad(postgres, 'fail', { what, mend })
      : version < 150_000
        ? isBad(postgres, 'warn', { what, mend })
        : connections.used / connections.most > 0.9
          ? isBad(postgres, 'warn', { what, mend: 'Raise max_connections, or end what holds so many.' })
          : isOk(postgres, what),
    seconds <= 2
      ? isOk(clock, apart)
      : isBad(clock, seconds > 60 ? 'fail' : 'warn', {
          what: apart,
          mend: 'Let both machines set their clocks (systemd-timesyncd, chrony).',
        }),
  ]
}

export function judgeProxy({
  damages,
  startedAt,
}: {
  readonly damages: readonly string[]
  /** Null: it does not say. */
  readonly startedAt: Date | null
}): Finding {
  const subject: Subject = {
    check: 'proxy',
    why: 'It serves all sites from its maps; their files are what it starts with.',
  }
  if (damages.length === 0)
    return isOk(
      subject,
      `It answers${startedAt === null ? '' : `, ${since(startedAt)}`}, and its maps are as they were written`,
    )
  return isBad(subject, 'warn', { what: damages.join('; '), mend: 'slipway doctor --fix writes them again.' })
}

/** Slipway's own address, asked through the proxy as a browser would. */
export function judgePort(place: string, answer: string | null): Finding {
  const subject: Subject = { check: 'port', why: 'All sites, Git and the API are reached through it.' }
  if (answer === null) return isOk(subject, `Slipway answers on ${place}`)
  const mend = 'See whether server and proxy run, and who listens there: ss -ltnp'
  return isBad(subject, 'fail', { what: `${place} does not lead to Slipway: ${answer}`, mend })
}

export function judgeFirewall(problem: string | null): Finding {
  const subject: Subject = {
    check: 'firewall',
    why: 'It keeps builds and instances away from the host, from each other and from cloud metadata.',
  }
  if (problem === null) return isOk(subject, 'Tried from inside: nothing of the host can be reached that should not be')
  return isBad(subject, 'fail', {
    what: problem,
    mend: 'Slipway writes its rules every 30 s: find out what removes them (nftables.service, ufw, firewalld).',
  })
}

/** @param git the version, such as 2.39.5; null when there is none */
export function judgeGit(git: string | null): Finding {
  const subject: Subject = { check: 'git', why: 'Pushes are received by it.' }
  if (git === null) return isBad(subject, 'fail', { what: 'There is no git', mend: 'apt-get install git' })
  if (isAtLeast(git, '2.39')) return isOk(subject, `git ${git}`)
  return isBad(subject, isAtLeast(git, '2.29') ? 'warn' : 'fail', {
    what: `git ${git}`,
    mend: 'Install git 2.39 or newer: with older ones Slipway was not tried, and before 2.29 it cannot work.',
  })
}

/** What is not there yet is said, so that nobody looks for it. */
export function judgeMissing({ bind, buildkit }: { bind: string; buildkit: string | null }): Finding[] {
  const certificates: Subject = {
    check: 'certificates',
    why: 'Without HTTPS passwords and tokens can be read on their way.',
  }
  const builds: Subject = { check: 'buildkit', why: 'Dockerfiles with RUN --mount or here-documents need it.' }
  const isLocal = bind.startsWith('127.')
  return [
    isLocal
      ? isOk(certificates, 'Not set up; Slipway listens on this machine only')
      : isBad(certificates, 'warn', {
          what: `Not set up, and Slipway listens on ${bind}`,
          mend: 'Put a proxy with HTTPS before it (SLIPWAY_TRUSTED_PROXIES), or set SLIPWAY_BIND=127.0.0.1.',
        }),
    isOk(
      builds,
      `${buildkit === null ? 'No client that can is installed' : `${buildkit} could`}; this Slipway builds without it and refuses what needs it`,
    ),
    isOk({ check: 'registry', why: 'Hosts of a pool get images from it.' }, 'None is set; images stay on this engine'),
  ]
}
