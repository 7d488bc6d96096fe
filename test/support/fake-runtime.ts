import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { SlipwayError } from '../../src/kernel/errors.ts'
import { LineSplitter } from '../../src/kernel/terminal-text.ts'
import type {
  Exit,
  Instance,
  InstanceChange,
  InstanceSpec,
  Listener,
  RunOptions,
  Runtime,
} from '../../src/runtime/index.ts'
import { labelNames } from '../../src/runtime/index.ts'

export interface FakeRuntime extends Runtime {
  /** Ends an instance as if by itself. */
  end(containerId: string, how?: { exitCode?: number; outOfMemory?: boolean }): void
  /** The same, and the engine brings it back at once. */
  endOnce(containerId: string): void
  /** The engine goes down with all that runs, and starts again what it keeps running. */
  restartEngine(): void
  writeLog(containerId: string, ...lines: string[]): void
  setListeners(containerId: string, listeners: readonly Listener[] | null): void
  /** Every call fails with `unavailable` while true. */
  setAway(away: boolean): void
  /** Puts a container on the host that is not Slipway's. */
  addForeign(name: string): void
  /** What a container was given. */
  envOf(containerId: string): InstanceSpec['env']
  /** Which instances `keepRunning` was called for, and not `letEnd` since. */
  readonly kept: ReadonlySet<string>
  readonly names: () => string[]
}

interface FakeContainer {
  instance: Instance
  readonly foreign: boolean
  readonly env: InstanceSpec['env']
  log: string[]
  listeners: readonly Listener[] | null
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/**
 * A Runtime in memory with the same promises. Instances are rows; commands (`run`, `exec`) really run, on this machine, so
 * give them only harmless ones.
 */
export function makeFakeRuntime(installation = 'fake'): FakeRuntime {
  const containers = new Map<string, FakeContainer>()
  const watchers = new Set<(change: InstanceChange) => void>()
  const kept = new Set<string>()
  /** Commands that run: who asks for one of them again waits for it. */
  const running = new Map<string, Promise<number>>()
  let away = false

  function answer(): void {
    if (away) throw new SlipwayError('unavailable', 'The Docker engine does not answer (fake).')
  }

  function tell(kind: InstanceChange['kind'], { containerId, labels, exitCode }: Instance): void {
    const change = { kind, containerId, labels, ...(kind === 'died' && exitCode !== null ? { exitCode } : {}) }
    for (const watcher of watchers) setImmediate(() => watcher(change))
  }

  function change(container: FakeContainer, fields: Partial<Mutable<Instance>>): Instance {
    container.instance = { ...container.instance, ...fields }
    return container.instance
  }

  function own(containerId: string): FakeContainer | null {
    answer()
    const found = containers.get(containerId) ?? null
    if (found?.foreign === true) throw new SlipwayError('conflict', `${found.instance.name} is not Slipway’s.`)
    return found
  }

  function find(containerId: string): FakeContainer {
    const found = own(containerId)
    if (found === null) throw new SlipwayError('not_found', 'There is no such container.')
    return found
  }

  async function create(spec: InstanceSpec): Promise<FakeContainer> {
    answer()
    if (named(spec.name) !== undefined || spec.startUnlessRefused === undefined) return createNow(spec)
    let made: FakeContainer | null = null
    const refusal = await spec.startUnlessRefused(async () => void (made = createNow(spec)))
    if (refusal !== null || made === null) throw refusal ?? new Error('it was not started')
    return made
  }

  const named = (name: string): FakeContainer | undefined =>
    [...containers.values()].find(({ instance }) => instance.name === name)

  function createNow(spec: InstanceSpec): FakeContainer {
    answer()
    const labels = { [labelNames.kind]: 'instance', ...spec.labels, [labelNames.installation]: installation }
    const taken = named(spec.name)
    if (taken !== undefined) {
      const same =
        taken.instance.image === spec.image &&
        Object.entries(labels).every(
          ([name, value]) => name === labelNames.variables || taken.instance.labels[name] === value,
        )
      if (same) return taken
      throw new SlipwayError('conflict', `A container ${spec.name} that is not this release’s is on the host.`)
    }
    const used = [...containers.values()].some(
      ({ instance }) => spec.address !== null && instance.address === spec.address && instance.state === 'running',
    )
    if (used) throw new SlipwayError('start_failed', `The address ${spec.address ?? ''} is in use.`)
    if (!/^sha256:[0-9a-f]{64}$/.test(spec.image)) throw new SlipwayError('internal', 'By digest only.')
    const container: FakeContainer = {
      foreign: false,
      env: spec.env,
      log: [],
      listeners: null,
      instance: {
        containerId: randomBytes(32).toString('hex'),
        name: spec.name,
        image: spec.image,
        labels,
        address: spec.address,
        state: 'running',
        restarts: 0,
        isKept: false,
        exitCode: null,
        outOfMemory: false,
        createdAt: new Date(),
        startedAt: new Date(),
      },
    }
    containers.set(container.instance.containerId, container)
    tell('started', container.instance)
    return container
  }

  function end(containerId: string, how: { exitCode?: number; outOfMemory?: boolean } = {}): void {
    const container = find(containerId)
    const { exitCode = 0, outOfMemory = false } = how
    tell('died', change(container, { state: 'exited', exitCode, outOfMemory }))
  }

  function endOnce(containerId: string): void {
    const { restarts } = find(containerId).instance
    end(containerId, { exitCode: 3 })
    const back = { state: 'running', restarts: restarts + 1, exitCode: null, startedAt: new Date() } as const
    tell('started', change(find(containerId), back))
  }

  function restartEngine(): void {
    for (const container of containers.values()) {
      const { containerId, isKept, state } = container.instance
      if (state !== 'running') continue
      end(containerId, { exitCode: 137 })
      if (isKept) tell('started', change(container, { state: 'running', startedAt: new Date() }))
    }
  }

  function begin(argv: readonly string[], container: FakeContainer, options: RunOptions): Promise<number> {
    const ran = runHere(argv, options, (line) => {
      container.log.push(line)
      options.onLine(line)
    })
    running.set(container.instance.containerId, ran)
    return ran
  }

  async function run(spec: InstanceSpec & { readonly argv: readonly string[] }, options: RunOptions): Promise<Exit> {
    const container = await create(spec)
    const { containerId, state, exitCode, outOfMemory } = container.instance
    if (state === 'exited') {
      container.log.forEach(options.onLine)
      return { exitCode: exitCode ?? -1, outOfMemory }
    }
    const begun = running.get(containerId)
    const ran = await (begun ?? begin(spec.argv, container, options))
    if (begun === undefined) end(containerId, { exitCode: ran })
    options.signal.throwIfAborted()
    if (ran === timedOut) throw new SlipwayError('timeout', 'It was still running and was stopped.')
    return { exitCode: ran, outOfMemory: false }
  }

  return {
    kept,
    restartEngine,
    endOnce,
    envOf: (containerId) => find(containerId).env,
    names: () => [...containers.values()].map(({ instance }) => instance.name),
    end,
    run,
    writeLog: (containerId, ...lines) => void find(containerId).log.push(...lines),
    setListeners: (containerId, listeners) => void (find(containerId).listeners = listeners),
    setAway: (value) => void (away = value),
    addForeign(name) {
      const container = createNow({
        name,
        image: `sha256:${'0'.repeat(64)}`,
        labels: {},
        env: {},
        address: null,
        limits,
      })
      const { containerId } = change(container, { labels: {} })
      containers.set(containerId, { ...container, foreign: true })
    },
    prepare: async () => (answer(), { subnet: '10.0.0.0/22', reserved: ['10.0.0.1'] }),
    start: async (spec, signal) => (signal.throwIfAborted(), (await create(spec)).instance),
    async keepRunning(containerId) {
      change(find(containerId), { isKept: true })
      kept.add(containerId)
    },
    async letEnd(containerId) {
      const found = own(containerId)
      if (found !== null) change(found, { isKept: false })
      kept.delete(containerId)
    },
    inspect: async (containerId) => own(containerId)?.instance ?? null,
    listeners: async (containerId) => [...(find(containerId).listeners ?? [])],
    logs: async (containerId, tail) => find(containerId).log.slice(-tail),
    async *readLog(containerId) {
      const at = new Date(0).toISOString().replace('Z', '000000Z')
      const { log } = find(containerId)
      if (log.length > 0) yield log.map((text) => ({ at, output: 'stdout' as const, text }))
    },
    async exec(containerId, argv, options) {
      if (find(containerId).instance.state !== 'running') throw new SlipwayError('conflict', 'It is not running.')
      const output: string[] = []
      const exitCode = await runHere(argv, options, (line) => output.push(line))
      options.signal.throwIfAborted()
      if (exitCode === timedOut) throw new SlipwayError('timeout', 'The command did not answer in time.')
      return { exitCode, output }
    },
    async stop(containerId) {
      const found = own(containerId)
      kept.delete(containerId)
      if (found?.instance.state === 'running') end(containerId, { exitCode: 143 })
    },
    async remove(containerId) {
      const found = own(containerId)
      if (found === null) return
      containers.delete(containerId)
      tell('removed', found.instance)
    },
    async list(of) {
      answer()
      return [...containers.values()]
        .filter(({ foreign }) => !foreign)
        .map(({ instance }) => instance)
        .filter(({ labels }) => of?.deploy === undefined || labels[labelNames.deploy] === String(of.deploy))
        .filter(({ labels }) => of?.cronRun === undefined || labels[labelNames.cronRun] === String(of.cronRun))
    },
    async survey() {
      answer()
      return [...containers.values()]
        .filter(({ foreign }) => !foreign)
        .map(({ instance: { containerId, name, labels, state, createdAt } }) => ({
          containerId,
          name,
          labels,
          state,
          createdAt,
        }))
    },
    watch(onChange, signal) {
      watchers.add(onChange)
      setImmediate(() => onChange({ kind: 'resync', containerId: null, labels: {} }))
      signal.addEventListener('abort', () => watchers.delete(onChange), { once: true })
    },
  }
}

const limits = { memoryBytes: 64 * 1024 * 1024, cpus: 1, pids: 64 }
const timedOut = -2

function runHere(
  argv: readonly string[],
  options: { timeoutMs: number; signal: AbortSignal },
  onLine: (line: string) => void,
): Promise<number> {
  const [program = '', ...args] = argv
  return new Promise((resolve) => {
    const { signal } = options
    const timeout = Math.ceil(options.timeoutMs)
    const child = execFile(program, args, { timeout, signal, killSignal: 'SIGKILL' }, (error) => {
      splitters.forEach((splitter) => splitter.end())
      if (error === null) resolve(0)
      else resolve(typeof error.code === 'number' ? error.code : error.killed === true ? timedOut : 137)
    })
    const splitters = [new LineSplitter(onLine), new LineSplitter(onLine)]
    child.stdout?.on('data', (chunk: string) => splitters[0]?.write(chunk))
    child.stderr?.on('data', (chunk: string) => splitters[1]?.write(chunk))
  })
}
