import { SlipwayError } from '../../kernel/errors.ts'
import { Secret } from '../../kernel/secret.ts'
import { type AttachedSpec, labelNames, type InstanceSpec } from '../../runtime/index.ts'

/*
 * What a container of Slipway is at the engine. Pure. A field more in HostConfig is a decision about security: the snapshot
 * test names them all.
 */

/**
 * What ordinary images need to switch users, own files and bind low ports: the engine's default without raw packets, device
 * files, chroot, file capabilities and the audit log.
 */
const capabilities = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'NET_BIND_SERVICE',
  'SETGID',
  'SETPCAP',
  'SETUID',
]

export interface ContainerPlan {
  readonly installation: string
  /** The engine's network that it joins. */
  readonly network: string
  /** Cores of the host: the engine refuses more. */
  readonly hostCpus: number
  /** The engine's small init as process 1; see `wantsInit`. */
  readonly init: boolean
}

export type ContainerSpec = InstanceSpec & Partial<Pick<AttachedSpec, 'terminal'>>

export function containerRequest(spec: ContainerSpec, plan: ContainerPlan) {
  return {
    name: spec.name,
    Image: parseDigest(spec.image),
    Hostname: spec.name.slice(0, 63).replaceAll('_', '-'),
    Env: environment(spec.env),
    Labels: containerLabels(spec, plan.installation),
    ...(spec.argv === undefined ? {} : { Entrypoint: [...spec.argv], Cmd: [] }),
    ...(spec.terminal === undefined ? {} : attachedRequest(spec.terminal !== null)),
    // The image's HEALTHCHECK is run by Slipway: the engine's own first probe comes after 30 s.
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      NetworkMode: plan.network,
      SecurityOpt: ['no-new-privileges'],
      CapDrop: ['ALL'],
      CapAdd: capabilities,
      Memory: spec.limits.memoryBytes,
      // The same: no swap.
      MemorySwap: spec.limits.memoryBytes,
      NanoCpus: Math.round(Math.min(spec.limits.cpus, plan.hostCpus) * 1e9),
      PidsLimit: spec.limits.pids,
      Init: plan.init,
      // Stays as it ended until its checks have passed (Runtime.keepRunning).
      RestartPolicy: { Name: 'no' },
      LogConfig:
        spec.terminal === undefined
          ? { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } }
          : { Type: 'none', Config: {} },
      // Engines before 23 want to be told when it runs.
      ...(spec.terminal == null ? {} : { ConsoleSize: [spec.terminal.rows, spec.terminal.columns] }),
    },
    ...(spec.address === null
      ? {}
      : {
          NetworkingConfig: {
            EndpointsConfig: { [plan.network]: { IPAMConfig: { IPv4Address: spec.address } } },
          },
        }),
  }
}

/** Its input ends when whoever was connected to it says so. */
function attachedRequest(hasTerminal: boolean) {
  return {
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    OpenStdin: true,
    StdinOnce: true,
    Tty: hasTerminal,
    // The image's own may be one that only its server understands.
    StopSignal: 'SIGTERM',
  }
}

export function containerLabels(spec: InstanceSpec, installation: string): Record<string, string> {
  return { [labelNames.kind]: 'instance', ...spec.labels, [labelNames.installation]: installation }
}

/** Containers of 0.1.0 do not have them. */
const newLabels: readonly string[] = [labelNames.version, labelNames.process, labelNames.position]

/** A container of that name is taken over only when all that says whose it is agrees. */
export function isSame(
  found: { readonly labels: Readonly<Record<string, string>>; readonly image: string },
  spec: InstanceSpec,
  installation: string,
): boolean {
  // Values that were taken out since make it no other release's.
  const wanted = Object.entries(containerLabels(spec, installation)).filter(([name]) => name !== labelNames.variables)
  // One that an older Slipway has begun lacks these, and is told by the others.
  const isNew = (name: string): boolean => newLabels.includes(name) && found.labels[name] === undefined
  return found.image === spec.image && wanted.every(([name, value]) => found.labels[name] === value || isNew(name))
}

function parseDigest(image: string): string {
  if (/^sha256:[0-9a-f]{64}$/.test(image)) return image
  throw new SlipwayError('internal', 'An instance starts from an image’s digest only.')
}

function environment(env: Readonly<Record<string, string | Secret>>): string[] {
  return Object.entries(env).map(([name, value]) => {
    const text = value instanceof Secret ? value.reveal() : value
    if (name === '' || /[=\u0000]/.test(name) || text.includes('\u0000')) {
      throw new SlipwayError('start_failed', `The variable ${JSON.stringify(name)} cannot be given to a container.`, {
        hint: 'Names have no “=”, and names and values no NUL byte.',
      })
    }
    return `${name}=${text}`
  })
}

/** Programs that must be process 1 themselves, or are such an init already. */
const inits =
  /(?:^|\/)(?:init|my_init|tini|tini-static|dumb-init|docker-init|catatonit|s6-svscan|s6-overlay-\S*|systemd|runsvdir|supervise)$/

/**
 * An init reaps what an app leaves behind and ends a process 1 that has no handler for SIGTERM at once instead of after the
 * grace. Images that bring their own (s6 refuses to be anything but process 1) go without.
 */
export function wantsInit(entrypoint: readonly string[], command: readonly string[]): boolean {
  const [first = '', ...rest] = [...entrypoint, ...command]
  // `sh -c "exec /init"` and `/usr/bin/env tini`
  const words = /(?:^|\/)(?:sh|bash|env)$/.test(first) ? rest.flatMap((word) => word.split(/\s+/)) : [first]
  return !words.some((word) => inits.test(word))
}

/** Turns the engine's refusal to start into words for the one who pushed. Null when it is not about this container. */
export function explainStartFailure(reason: string, spec: InstanceSpec): SlipwayError | null {
  const known = startFailures.find(({ pattern }) => pattern.test(reason))
  if (known === undefined) return null
  const { code = 'start_failed', message, hint } = known
  return new SlipwayError(code, message(spec), { hint, evidence: [reason] })
}

const startFailures: readonly {
  pattern: RegExp
  code?: 'unavailable'
  message: (spec: InstanceSpec) => string
  hint: string
}[] = [
  {
    pattern: /no such image/i,
    message: () => 'The image of this build is not on the host any more.',
    hint: 'Deploy the commit again: slipway deploy',
  },
  {
    pattern: /address already in use/i,
    message: ({ address }) =>
      `The address ${address ?? ''} is in use on the host, by something that Slipway does not know.`,
    hint: 'Deploy again: another address is taken then. To see who has it: docker network inspect',
  },
  {
    pattern:
      /executable file not found|no such file or directory: unknown|exec format error|permission denied: unknown/i,
    message: () => 'The image’s command cannot be started.',
    hint: 'See CMD and ENTRYPOINT in the Dockerfile: the program must be in the image, executable, and for this processor.',
  },
  {
    pattern: /no command specified/i,
    message: () => 'The image has no command to start.',
    hint: 'Add a CMD to the Dockerfile, for example CMD ["./server"].',
  },
  {
    pattern: /unable to find user|no matching entries in passwd/i,
    message: () => 'The user named in the Dockerfile is not in the image.',
    hint: 'Create the user in the Dockerfile before USER, or use a number.',
  },
  {
    pattern: /minimum memory limit|memory limit too low|container init was OOM-killed/i,
    message: ({ limits }) =>
      `The memory limit (${Math.round(limits.memoryBytes / 1024 / 1024)} MB) is too small to start a process.`,
    hint: 'Raise resources.memory in slipway.yml.',
  },
  {
    pattern: /no space left on device|cannot allocate memory/i,
    code: 'unavailable',
    message: () => 'The host has no room to start a container.',
    hint: 'Free disk or memory on the host (docker system df, free -m), then deploy again.',
  },
]
