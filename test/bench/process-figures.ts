import { readFileSync, readdirSync } from 'node:fs'

/** CPU time of a process so far, all threads, in µs. The kernel counts in ticks of 10 ms. */
export function cpuMicros(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

/** Resident memory now and at its highest, in MB; null when the process has ended. */
export function residentMb(pid: number): { now: number; highest: number } | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    // One that has just ended, and is not yet seen off, has none.
    const read = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) / 1024
    return { now: read('VmRSS'), highest: read('VmHWM') }
  } catch {
    return null
  }
}

/** All descendants of a process. */
export function descendants(pid: number): number[] {
  const parents = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1')
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
      parents.set(parent, [...(parents.get(parent) ?? []), Number(name)])
    } catch {
      // It has ended.
    }
  }
  const found: number[] = []
  const walk = (at: number): void => {
    for (const child of parents.get(at) ?? []) {
      found.push(child)
      walk(child)
    }
  }
  walk(pid)
  return found
}
