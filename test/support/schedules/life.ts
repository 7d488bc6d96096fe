import { type Builder, type Builds, makeBuilds, makeImages, type Source } from '../../../src/builds/index.ts'
import { type Deploys, makeDeploys, type Tools } from '../../../src/deploys/index.ts'
import type { Clock } from '../../../src/kernel/clock.ts'
import { SlipwayError } from '../../../src/kernel/errors.ts'
import type { Logger } from '../../../src/kernel/logger.ts'
import { makeMutex } from '../../../src/kernel/mutex.ts'
import { Secret } from '../../../src/kernel/secret.ts'
import type { Database, ServerPlace, Term, Transaction } from '../../../src/postgres/database.ts'
import { makeTerm } from '../../../src/postgres/term.ts'
import { isDatabaseAway } from '../../../src/postgres/index.ts'
import type { Router } from '../../../src/routing/index.ts'
import { makeAddresses } from '../../../src/routing/index.ts'
import { labelNames, type InstanceSpec, type Probes, type Runtime } from '../../../src/runtime/index.ts'
import type { OpenTransaction } from '../memory-database/index.ts'
import type { Container } from './engine.ts'
import type { Fault, Place, World } from './world.ts'

/** One life of a server: from its start until it is killed. It may be frozen in between, and not know. */
export interface Life {
  readonly number: number
  readonly db: Database
  readonly deploys: Deploys
  isAlive(): boolean
  isFrozen(): boolean
  wasFrozen(): boolean
  /** It has begun to work. */
  isWorking(): boolean
  /** Running deploys that it holds a lease of; null when it said that it could not give them back. */
  held(): readonly number[] | null
  /** As by `kill -9`: nothing that it waits for ever comes back to it. */
  kill(): void
  /** As by SIGSTOP: what comes back meanwhile is heard when the time is over. */
  freeze(ms: number): void
}

export const addresses = makeAddresses({ domain: 'localhost', httpPort: 8080 })
const key = new Secret('schedules-installation-key-000000000')
export const installation = 'sim'

export function startLife(world: World, number: number): Life {
  const { timeline, random, engine, database, router } = world
  const open = new Set<OpenTransaction>()
  let isAlive = true
  let thawMs = 0
  let couldNotGiveBack = false
  let isWorking = false

  /** Something comes to this server: unless it is dead, and not before it thaws. */
  const deliver = (what: () => void): void => {
    if (!isAlive) return
    if (timeline.nowMs() < thawMs) timeline.after(thawMs - timeline.nowMs() + random.next(), () => deliver(what))
    else what()
  }

  /** A request, its effect and its answer; each takes its time, and each may be lost. */
  const call = <T>(place: Place, effect: () => T | Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      if (!world.onCall(place) || !isAlive) return
      const fault: Fault = world.faultAt(place)
      const answer = (settle: () => void): void => {
        world.onCall(place)
        if (world.isPrompt()) deliver(settle)
        else timeline.after(world.latencyMs(place), () => deliver(settle))
      }
      const fail = (error: unknown): void =>
        answer(() => reject(error instanceof Error ? error : new Error(String(error))))
      const succeed = (value: T): void =>
        answer(() => (fault === 'after' ? reject(world.awayError(place)) : resolve(value)))
      const act = (): void => {
        if (fault === 'before') return fail(world.awayError(place))
        try {
          const value = effect()
          if (value instanceof Promise) value.then(succeed, fail)
          else succeed(value)
        } catch (error) {
          fail(error)
        }
      }
      if (world.isPrompt()) act()
      else timeline.after(world.latencyMs(place), () => (isAlive || random.chance(0.5) ? act() : undefined))
    })

  /** Whoever records something of a deploy, or writes its log, as its owner is that. */
  const checked = <T extends object>(
    sql: string,
    values: readonly unknown[] = [],
    answer: T[] | Promise<T[]>,
  ): T[] | Promise<T[]> => {
    if (answer instanceof Promise) return answer.then((rows) => checked(sql, values, rows) as T[])
    const isRecord = sql.startsWith('update deploys') && values[1] === worker
    const isLog = sql.startsWith('with own as') && values[4] === worker
    if ((isRecord || isLog) && answer.length > 0) {
      const [deploy] = database.tables.deploys.select(database.look(), ({ id }) => id === values[0])
      if (deploy?.lease_owner !== worker) world.violate(`life ${number} recorded something of deploy ${deploy?.id}`)
    }
    return answer
  }
  const db: Database = {
    query(sql, values) {
      if (worker === '' && sql.startsWith('update deploys set lease_owner = $1')) {
        worker = String(values?.[0])
        world.newestTakeOver = { worker, atMs: timeline.nowMs() }
      }
      return call('database', () => checked(sql, values, database.query(sql, values)))
    },
    async transaction(work) {
      const tx = await call('database', () => {
        const begun = database.begin()
        // A connection that ends takes its transaction with it.
        if (isAlive) open.add(begun)
        else begun.rollback()
        return begun
      })
      const inside: Transaction = {
        inTransaction: true,
        query: (sql, values) =>
          call('database', () => {
            if (!open.has(tx)) throw world.awayError('database')
            return checked(sql, values, tx.query(sql, values))
          }),
      }
      try {
        const result = await work(inside)
        await call('database', () => {
          if (!open.has(tx)) throw world.awayError('database')
          tx.commit()
          world.onCommit()
        })
        return result
      } catch (error) {
        tx.rollback()
        throw error
      } finally {
        open.delete(tx)
      }
    },
  }

  /** What it calls itself; it takes everything over before it does anything else. */
  let worker = ''
  /**
   * One that took over while this one was frozen is not in its way. (In the moment after the thaw, before a server hears that
   * its place is lost, both think that they are the only one: nothing is promised for that.)
   */
  const isFenced = (): boolean =>
    isAlive && !(world.newestTakeOver.worker !== worker && world.newestTakeOver.atMs > thawMs)
  const fence = (spec: InstanceSpec, what: string): void => {
    if (isFenced()) world.assertOwner(worker, Number(spec.labels[labelNames.deploy]), `life ${number} ${what}`)
  }

  const find = (containerId: string): Container => {
    const found = engine.containers.get(containerId)
    if (found === undefined) throw new SlipwayError('not_found', 'There is no such container.')
    return found
  }

  const runtime: Runtime = {
    prepare: () => call('engine', () => world.range),
    start(spec, signal) {
      signal.throwIfAborted()
      fence(spec, 'started a container')
      return call('engine', () => engine.create(spec).instance)
    },
    async run(spec: InstanceSpec, { onLine, signal }) {
      signal.throwIfAborted()
      fence(spec, 'ran a command')
      const container = await call('engine', () => engine.create(spec))
      const { containerId } = container.instance
      const stop = (): void => void call('engine', () => engine.exit(containerId, 143)).catch(stop)
      if (signal.aborted) stop()
      else signal.addEventListener('abort', stop, { once: true })
      const exitCode = await call('engine', async () => {
        await container.ended
        return container.instance.exitCode ?? -1
      }).finally(() => signal.removeEventListener('abort', stop))
      onLine(`output of ${spec.name}`)
      signal.throwIfAborted()
      return { exitCode, outOfMemory: false }
    },
    keepRunning: (containerId) => call('engine', () => void engine.kept.add(find(containerId).instance.containerId)),
    letEnd: (containerId) => call('engine', () => void engine.kept.delete(containerId)),
    inspect: (containerId) => call('engine', () => engine.containers.get(containerId)?.instance ?? null),
    exec: () => Promise.reject(new Error('nothing is executed here')),
    logs: () => call('engine', () => ['a line']),
    readLog: () => {
      throw new Error('no logs are read here')
    },
    listeners: () => call('engine', () => []),
    stop: (containerId) =>
      call('engine', () => {
        world.trace(`life ${number} stops ${containerId}`)
        engine.kept.delete(containerId)
        engine.exit(containerId, 143)
        world.checkTraffic()
      }),
    remove: (containerId) =>
      call('engine', () => {
        world.trace(`life ${number} removes ${containerId}`)
        engine.remove(containerId)
        world.checkTraffic()
      }),
    list: (of) =>
      call('engine', () =>
        [...engine.containers.values()]
          .map(({ instance }) => instance)
          .filter(({ labels }) => of === undefined || labels[labelNames.deploy] === String(of.deploy)),
      ),
    survey: () => call('engine', () => [...engine.containers.values()].map(({ instance }) => instance)),
    watch(onChange, signal) {
      const end = engine.onChange((change) => {
        if (isAlive) timeline.after(world.latencyMs('engine'), () => deliver(() => signal.aborted || onChange(change)))
      })
      signal.addEventListener('abort', end, { once: true })
      onDeath.push(end)
      timeline.after(0, () =>
        deliver(() => signal.aborted || onChange({ kind: 'resync', containerId: null, labels: {} })),
      )
    },
  }
  const onDeath: (() => void)[] = []

  const probes: Probes = {
    connect: ({ address, port }) => call('app', () => (engine.isServing(address, port) === null ? 'refused' : 'open')),
    get: ({ address, port }) =>
      call('app', () => {
        const container = engine.isServing(address, port)
        if (container === null) return { kind: 'refused' }
        const status = world.isSick(container.instance.image) ? 500 : 200
        return { kind: 'answer', status, reason: '', firstLine: '' }
      }),
  }

  const swap: Router['swap'] = (routeKey, to) => {
    if (isFenced() && routeKey.startsWith('e') && 'set' in to) world.assertMayServe(worker, to.set)
    return call('proxy', async () => {
      world.trace(`life ${number} leads ${routeKey} to ${JSON.stringify(to)}`)
      await router.swap(routeKey, to)
      world.checkTraffic()
    })
  }
  const ofRouter: Router = {
    replaceAll: (routes) => call('proxy', () => router.replaceAll(routes).finally(() => world.checkTraffic())),
    addHost: (host, routeKey) => call('proxy', () => router.addHost(host, routeKey)),
    setRules: (environmentId, rules) => call('proxy', () => router.setRules(environmentId, rules)),
    removeHost: (host) => call('proxy', () => router.removeHost(host)),
    defineSet: (set, targets) => call('proxy', () => router.defineSet(set, targets)),
    swap,
    removeSet: (set) => call('proxy', () => router.removeSet(set)),
    removeKey: (routeKey) => call('proxy', () => router.removeKey(routeKey)),
    setTimeout: (routeKey, ms) => call('proxy', () => router.setTimeout(routeKey, ms)),
    openConnections: () => call('proxy', () => (random.chance(0.7) ? 0 : null)),
    readUse: () => call('proxy', () => ({ open: 0, quietMs: null, asked: 0 })),
    mayLeadAsBefore: () => call('proxy', () => false),
    damages: () => call('proxy', () => []),
    startedAt: () => call('proxy', () => null),
    read: () => call('proxy', () => router.read()),
  }

  const logger: Logger = {
    error(message, fields) {
      // That it could not be done now is all that is said then.
      if (isDatabaseAway(fields?.['error'])) logger.warn(message, fields)
      else world.violate(`life ${number} says: ${message}: ${textOf(fields)}`)
    },
    warn(message, fields) {
      if (message === 'the leases of deploys were not given back') couldNotGiveBack = true
      world.trace(`life ${number} warns: ${message} ${textOf(fields)}`)
    },
    info: (message, fields) => world.trace(`life ${number}: ${message} ${JSON.stringify(fields)}`),
    debug: () => undefined,
    child: () => logger,
  }

  const clock: Clock = {
    now: () => new Date(world.base.getTime() + timeline.nowMs()),
    monotonicMs: () => timeline.nowMs(),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (!isAlive) return
        // One that was due while it was frozen is heard of later, and may have been given up by then.
        const wake = (): void => (signal?.aborted === true ? reject(signal.reason as Error) : resolve())
        timeline.sleep(ms, signal).then(() => deliver(wake), reject)
      }),
  }
  /** Its place in the database: lost when another server begins, and taken again when that one is gone. */
  const takePlace = (): { isAlive(): boolean; term: Term } => {
    const mine = { isAlive: () => isAlive }
    world.place = mine
    const confirm = (): Promise<void> =>
      call('database', () => {
        if (world.place !== mine) throw world.awayError('database')
      })
    return Object.assign(mine, {
      term: makeTerm({ confirm, nowMs: () => timeline.nowMs(), sleep: (ms) => clock.sleep(ms) }),
    })
  }
  let held = takePlace()
  const place: ServerPlace = {
    term() {
      if (world.place !== held && world.place.isAlive()) throw world.awayError('database')
      if (world.place !== held) held = takePlace()
      return held.term
    },
  }
  const builder = ofEngine()
  const images = makeImages({ db, builder, logger })
  const tools: Tools = {
    ...{ db, place, clock, runtime, router: ofRouter, probes, addresses, logger, installation, installationKey: key },
    range: world.range,
    builds: ofBuilds(builder),
    whileRoutesHold: makeMutex(),
  }
  const made = makeDeploys(tools)
  const deploys: Deploys = {
    ...made,
    start() {
      void tidyImages()
      return made.start().finally(() => (isWorking = true))
    },
  }
  /** As every night: what was begun for a build that another server has finished meanwhile. */
  async function tidyImages(): Promise<void> {
    for (;;) {
      await clock.sleep(60_000)
      await images.sweep().catch((error: unknown) => logger.warn('images were not tidied', { error }))
    }
  }

  return {
    number,
    db,
    deploys,
    isAlive: () => isAlive,
    isFrozen: () => timeline.nowMs() < thawMs,
    wasFrozen: () => thawMs > 0,
    isWorking: () => isWorking,
    held() {
      if (couldNotGiveBack) return null
      const own = database.tables.deploys.select(database.look(), (d) => d.state === 'running')
      return own.filter((d) => d.lease_owner === worker).map(({ id }) => id)
    },
    kill() {
      isAlive = false
      for (const tx of open) tx.rollback()
      open.clear()
      for (const end of onDeath) end()
    },
    freeze(ms) {
      thawMs = timeline.nowMs() + ms
      // What it has locked holds others up until it is done with it.
      world.lastFaultMs = thawMs + 60_000
      const frozenIn = [...open]
      // `idle_in_transaction_session_timeout`
      if (ms < 60_000) return
      timeline.after(60_000, () => {
        for (const tx of frozenIn) if (open.delete(tx)) tx.rollback()
      })
    },
  }

  function ofEngine(): Builder {
    const builder: Builder = {
      build: async ({ buildId }, { onLine, isHeld, signal }) => {
        signal.throwIfAborted()
        const turn = await call('engine', () => engine.beginBuild(buildId))
        onLine(`building ${buildId}`)
        try {
          const made = call('engine', async () => {
            await timeline.sleep(random.next() ** 3 * 8_000)
            // Whoever asked has gone, or somebody has removed what it had.
            if ((!isAlive && random.chance(0.5)) || engine.building.get(buildId) !== turn) return null
            if (world.failsToBuild(buildId)) return null
            return engine.finishBuild(buildId)
          })
          const image = await untilAborted(signal, made)
          if (image === null) throw new SlipwayError('build_failed', 'A step failed.')
          return image
        } catch (error) {
          if ((await isHeld?.()) !== false) await builder.discard(buildId)
          throw error
        }
      },
      find: (buildId) => call('engine', () => engine.images.get(buildId) ?? null),
      has: (digest) => call('engine', () => [...engine.images.values()].some((image) => image.digest === digest)),
      cleanUp: (buildId) => call('engine', () => void engine.building.delete(buildId)),
      listTraces: () => call('engine', () => [...new Set([...engine.building.keys(), ...engine.images.keys()])]),
      listLeftOver: () => call('engine', () => [...engine.building.keys()]),
      discard: (buildId) =>
        call('engine', () => {
          engine.building.delete(buildId)
          engine.images.delete(buildId)
        }),
      removeImage: () => Promise.reject(new Error('no image is removed here')),
    }
    return builder
  }

  function ofBuilds(builder: Builder): Builds {
    const real = makeBuilds({
      ...{ db, clock, builder, source: {} as Source },
      settings: {
        ...{ pull: 'missing', platform: 'linux/x64', slots: world.buildSlots },
        ...{ memoryBytes: 1024 ** 2, cpus: 1, timeoutMs: 60_000 },
      },
    })
    const plan = { config: world.config, dockerfileText: 'FROM scratch', ignore: '', warnings: [] }
    return { ...real, readPlan: () => call('app', () => plan) }
  }
}

function textOf(fields: Record<string, unknown> | undefined): string {
  const { error, ...rest } = fields ?? {}
  const stacks: string[] = []
  for (let at = error; at instanceof Error; at = at.cause) stacks.push(at.stack ?? at.message)
  return `${JSON.stringify(rest)} ${stacks.join('; because of ')}`
}

function untilAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
