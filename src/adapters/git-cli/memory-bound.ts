import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** How much memory a git child and its own children may take. */
export interface MemoryBound {
  readonly kind: 'cgroup v1' | 'cgroup v2' | 'data limit'
  /** The command line to start instead of `argv`. */
  wrap(argv: readonly string[]): readonly string[]
  /** Called right after the start; the child is given input, and so has children of its own, only once it has `joined`. */
  add(pid: number): Membership
}

export interface Membership {
  /** Resolves when the bound holds, or the child has ended; rejects when it cannot be bounded. */
  readonly joined: Promise<void>
  /** Whether the kernel killed something in it for memory. */
  outOfMemory(): boolean
  /** Called when the child has ended; safe to repeat. */
  release(): void
}

/**
 * A cgroup for each child where this process may make one, else a limit on each process's own data (`prlimit`), which
 * needs no rights but counts a child's children apart.
 */
export function makeMemoryBound(options: { name: string; bytes: number; cgroupRoot?: string }): MemoryBound {
  const root = options.cgroupRoot ?? '/sys/fs/cgroup'
  return groupV2(root, options) ?? groupV1(root, options) ?? dataLimit(options.bytes)
}

interface Wanted {
  readonly name: string
  readonly bytes: number
}

function groupV2(root: string, wanted: Wanted): MemoryBound | null {
  if (!existsSync(join(root, 'cgroup.controllers'))) return null
  return group('cgroup v2', root, wanted, (child) => {
    writeFileSync(join(child, 'memory.max'), String(wanted.bytes))
    return () => countIn(join(child, 'memory.events'), /^oom_kill (\d+)$/m) > 0
  })
}

function groupV1(root: string, wanted: Wanted): MemoryBound | null {
  return group('cgroup v1', join(root, 'memory'), wanted, (child) => {
    writeFileSync(join(child, 'memory.limit_in_bytes'), String(wanted.bytes))
    return () => countIn(join(child, 'memory.oom_control'), /^oom_kill (\d+)$/m) > 0
  })
}

/** Tried once: where a group cannot be made or has no limit, null. */
function group(
  kind: 'cgroup v1' | 'cgroup v2',
  folder: string,
  { name }: Wanted,
  limit: (child: string) => () => boolean,
): MemoryBound | null {
  let last = 0
  const make = (): { child: string; outOfMemory: () => boolean } => {
    const child = join(folder, `${name}.${process.pid}.${++last}`)
    mkdirSync(child)
    try {
      return { child, outOfMemory: limit(child) }
    } catch (error) {
      removeGroup(child, 0)
      throw error
    }
  }
  try {
    removeLeft(folder, name)
    removeGroup(make().child, 0)
  } catch {
    return null
  }
  return {
    kind,
    wrap: (argv) => argv,
    add(pid) {
      const { child, outOfMemory } = make()
      return { joined: joinGroup(child, pid), outOfMemory, release: () => removeGroup(child, 20) }
    },
  }
}

/** The kernel takes some 10 ms to move a process: nothing else waits for that. */
async function joinGroup(child: string, pid: number): Promise<void> {
  try {
    await writeFile(join(child, 'cgroup.procs'), String(pid))
  } catch (error) {
    // It has ended already, and its group may be gone too.
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ESRCH' && code !== 'ENOENT' && code !== 'ENODEV') throw error
  }
}

/** A group can be removed only once the kernel has seen its last process off. */
function removeGroup(child: string, attempts: number): void {
  try {
    rmdirSync(child)
  } catch (error) {
    const gone = (error as NodeJS.ErrnoException).code === 'ENOENT'
    if (!gone && attempts > 0) setTimeout(() => removeGroup(child, attempts - 1), 100).unref()
  }
}

/** What an earlier Slipway of this installation left; the kernel keeps groups that are in use. */
function removeLeft(folder: string, name: string): void {
  for (const entry of readdirSync(folder)) if (entry.startsWith(`${name}.`)) removeGroup(join(folder, entry), 0)
}

function countIn(file: string, pattern: RegExp): number {
  try {
    return Number(pattern.exec(readFileSync(file, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

/**
 * The hook runs under the same limit, and Node reserves 512 MB of addresses for code alone (it starts with 600 MB, not with
 * 512).
 */
const forNodeBytes = 256 * 1024 * 1024

function dataLimit(bytes: number): MemoryBound {
  return {
    kind: 'data limit',
    wrap: (argv) => ['prlimit', `--data=${bytes + forNodeBytes}`, '--', ...argv],
    add: () => ({ joined: Promise.resolve(), outOfMemory: () => false, release: () => undefined }),
  }
}
