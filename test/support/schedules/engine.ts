import type { BuiltImage } from '../../../src/builds/index.ts'
import { SlipwayError } from '../../../src/kernel/errors.ts'
import { type Instance, type InstanceChange, type InstanceSpec, labelNames } from '../../../src/runtime/index.ts'
import type { Random } from './random.ts'
import type { Timeline } from './timeline.ts'

/*
 * What an engine has, whoever asks: containers, builds and images. It outlives the servers. What it does when asked it does at
 * once; that requests and answers take time, or are lost, is the caller's.
 */

export interface Container {
  instance: Instance
  readonly spec: InstanceSpec
  /** Resolves when a command ends. */
  readonly ended: Promise<void>
  readonly end: () => void
}

export interface Engine {
  readonly containers: Map<string, Container>
  readonly kept: Set<string>
  /** How often a command's container was begun, by its name. */
  readonly commandsBegun: Map<string, number>
  readonly images: Map<number, BuiltImage>
  /** What a running build has; another number for each time that it is begun. */
  readonly building: Map<number, number>
  create(spec: InstanceSpec): Container
  exit(containerId: string, exitCode: number): void
  remove(containerId: string): void
  isServing(address: string, port: number): Container | null
  beginBuild(buildId: number): number
  finishBuild(buildId: number): BuiltImage
  onChange(tell: (change: InstanceChange) => void): () => void
}

/** An image that ends as soon as it starts, and one that answers with an error: known by the build's commit. */
export interface Temper {
  endsAtOnce(image: string): boolean
}

export const port = 8080

export function makeEngine(deps: { timeline: Timeline; random: Random; temper: Temper; base: Date }): Engine {
  const { timeline, random, temper, base } = deps
  const containers = new Map<string, Container>()
  const kept = new Set<string>()
  const watchers = new Set<(change: InstanceChange) => void>()
  const commandsBegun = new Map<string, number>()
  const images = new Map<number, BuiltImage>()
  const building = new Map<number, number>()
  let count = 0

  const tell = (kind: InstanceChange['kind'], { containerId, labels, exitCode }: Instance): void => {
    const change = { kind, containerId, labels, ...(kind === 'died' && exitCode !== null ? { exitCode } : {}) }
    for (const watcher of watchers) watcher(change)
  }

  const exit = (containerId: string, exitCode: number): void => {
    const container = containers.get(containerId)
    if (container?.instance.state !== 'running') return
    container.instance = { ...container.instance, state: 'exited', exitCode }
    container.end()
    tell('died', container.instance)
  }

  const make = (spec: InstanceSpec): Container => {
    const at = new Date(base.getTime() + timeline.nowMs())
    const { promise, resolve } = Promise.withResolvers<void>()
    count += 1
    const instance: Instance = {
      ...{ containerId: `c${count}`, name: spec.name, image: spec.image, address: spec.address, state: 'running' },
      ...{
        labels: spec.labels,
        restarts: 0,
        isKept: false,
        exitCode: null,
        outOfMemory: false,
        createdAt: at,
        startedAt: at,
      },
    }
    const container: Container = { instance, spec, ended: promise, end: resolve }
    containers.set(instance.containerId, container)
    if (spec.labels[labelNames.kind] === 'command') {
      commandsBegun.set(spec.name, (commandsBegun.get(spec.name) ?? 0) + 1)
      timeline.after(random.next() * 3_000, () => exit(instance.containerId, random.chance(0.1) ? 1 : 0))
    } else if (temper.endsAtOnce(spec.image)) exit(instance.containerId, 7)
    return container
  }

  return {
    containers,
    kept,
    commandsBegun,
    images,
    building,
    exit,
    create(spec) {
      for (const taken of containers.values()) {
        if (taken.instance.name !== spec.name) continue
        const isSame = Object.entries(spec.labels).every(([name, value]) => taken.instance.labels[name] === value)
        if (isSame && taken.instance.image === spec.image) return taken
        throw new SlipwayError('conflict', `A container ${spec.name} that is not this release’s is on the host.`)
      }
      const isUsed = [...containers.values()].some(
        ({ instance }) => spec.address !== null && instance.address === spec.address && instance.state === 'running',
      )
      if (isUsed) throw new SlipwayError('start_failed', `The address ${spec.address ?? ''} is in use.`)
      return make(spec)
    },
    remove(containerId) {
      const container = containers.get(containerId)
      if (container === undefined) return
      exit(containerId, 137)
      containers.delete(containerId)
      kept.delete(containerId)
      tell('removed', container.instance)
    },
    isServing(address, asked) {
      if (asked !== port) return null
      for (const container of containers.values()) {
        const { instance } = container
        if (instance.address === address && instance.state === 'running') return container
      }
      return null
    },
    beginBuild(buildId) {
      building.set(buildId, (count += 1))
      return count
    },
    finishBuild(buildId) {
      const image = imageOf(buildId)
      images.set(buildId, image)
      building.delete(buildId)
      return image
    },
    onChange(watcher) {
      watchers.add(watcher)
      return () => watchers.delete(watcher)
    },
  }
}

const imageOf = (buildId: number): BuiltImage => ({
  ...{ digest: `sha256:${buildId.toString(16).padStart(64, '0')}`, sizeBytes: 1_000_000, exposedPorts: [port] },
  healthcheck: null,
})

export const buildOfImage = (digest: string): number => Number.parseInt(digest.slice('sha256:'.length), 16)
