import { readFile, statfs } from 'node:fs/promises'
import { floorOf, formatRoom, mostFloorBytes } from '../kernel/room.ts'
import { type Finding, isBad, isOk, type Subject } from './finding.ts'

/*
 * The machine under Slipway: what its kernel and its disks say. Figures that this machine does not have are null, and nothing is
 * said of them.
 */

export interface Disk {
  readonly path: string
  readonly freeBytes: number
  readonly sizeBytes: number
  readonly freeFiles: number
  readonly files: number
}

export interface MachineFacts {
  readonly disks: readonly Disk[]
  readonly memory: { readonly totalBytes: number; readonly availableBytes: number } | null
  /** Of this process. */
  readonly openFilesLimit: number | null
  readonly openFiles: { readonly used: number; readonly most: number } | null
  /** net.ipv4.neigh.default.gc_thresh3 */
  readonly neighbours: number | null
  readonly connections: { readonly used: number; readonly most: number } | null
}

/** @param folders whose disks are looked at: the data folder's, the engine's */
export async function readMachine(folders: readonly string[]): Promise<MachineFacts> {
  const read = (path: string): Promise<string | null> => readFile(path, 'utf8').catch(() => null)
  const number = async (path: string): Promise<number | null> => toNumber(await read(path))
  const [memory, limits, fileNr, neighbours, count, most, disks] = await Promise.all([
    read('/proc/meminfo'),
    read('/proc/self/limits'),
    read('/proc/sys/fs/file-nr'),
    number('/proc/sys/net/ipv4/neigh/default/gc_thresh3'),
    number('/proc/sys/net/netfilter/nf_conntrack_count'),
    number('/proc/sys/net/netfilter/nf_conntrack_max'),
    Promise.all(folders.map(readDisk)),
  ])
  return {
    disks: disks.filter((disk) => disk !== null),
    memory: memory === null ? null : parseMemory(memory),
    openFilesLimit: toNumber(/^Max open files\s+(\d+)/m.exec(limits ?? '')?.[1] ?? null),
    openFiles: parseOpenFiles(fileNr),
    neighbours,
    connections: count === null || most === null ? null : { used: count, most },
  }
}

async function readDisk(path: string): Promise<Disk | null> {
  try {
    const { bavail, blocks, bsize, ffree, files } = await statfs(path)
    return { path, freeBytes: bavail * bsize, sizeBytes: blocks * bsize, freeFiles: ffree, files }
  } catch {
    return null
  }
}

export function parseMemory(meminfo: string): MachineFacts['memory'] {
  const kb = (name: string): number | null =>
    toNumber(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(meminfo)?.[1] ?? null)
  const total = kb('MemTotal')
  const available = kb('MemAvailable')
  if (total === null || available === null) return null
  return { totalBytes: total * 1024, availableBytes: available * 1024 }
}

export function parseOpenFiles(fileNr: string | null): MachineFacts['openFiles'] {
  const [used, , most] = (fileNr ?? '').trim().split(/\s+/).map(Number)
  return used === undefined || most === undefined || !Number.isFinite(most) ? null : { used, most }
}

function toNumber(text: string | null): number | null {
  const value = Number.parseInt(text ?? '', 10)
  return Number.isFinite(value) ? value : null
}

export interface Expected {
  /** Below it nothing is built; null: chosen by the disk's size. */
  readonly diskFloorBytes: number | null
  /** Below it nothing is started; null: chosen by the memory's size. */
  readonly memoryFloorBytes: number | null
  /** Instances that have an address; null: not known without the server. */
  readonly instances: number | null
}

/** The pure part: what of these figures is too little. */
export function judgeMachine(facts: MachineFacts, expected: Expected): Finding[] {
  return [
    ...facts.disks.flatMap((disk) => judgeDisk(disk, expected)),
    ...judgeMemory(facts, expected),
    ...judgeOpenFiles(facts),
    ...judgeNeighbours(facts, expected),
    ...judgeConnections(facts),
  ]
}

function judgeDisk(disk: Disk, { diskFloorBytes }: Expected): Finding[] {
  const subject: Subject = {
    check: 'disk',
    why: 'Without room nothing is built, pushed or recorded; sites go on serving.',
  }
  const mend = 'Make room, or lower SLIPWAY_KEEP_RELEASES so that fewer old releases are kept.'
  const { path, freeBytes, sizeBytes, freeFiles, files } = disk
  const what = `${path}: ${formatRoom(freeBytes)} of ${formatRoom(sizeBytes)} are free`
  const floor = floorOf(disk, { setBytes: diskFloorBytes, mostBytes: mostFloorBytes.disk })
  // Some file systems have as many as they need, and say 0.
  const fewFiles = files > 0 && freeFiles / files < 0.03
  if (freeBytes < floor) {
    const more = `${what}; builds begin with ${formatRoom(floor)} (SLIPWAY_DISK_FLOOR_MB)`
    return [isBad(subject, 'fail', { what: more, mend })]
  }
  if (files > 0 && freeFiles === 0) return [isBad(subject, 'fail', { what: `${path}: no file (inode) is free`, mend })]
  if (fewFiles)
    return [isBad(subject, 'warn', { what: `${path}: ${freeFiles} of ${files} files (inodes) are free`, mend })]
  if (freeBytes < 2 * floor || freeBytes / sizeBytes < 0.1) return [isBad(subject, 'warn', { what, mend })]
  return [isOk(subject, what)]
}

function judgeMemory({ memory }: MachineFacts, { memoryFloorBytes }: Expected): Finding[] {
  if (memory === null) return []
  const subject: Subject = {
    check: 'memory',
    why: 'When it runs out, the kernel ends processes: sites, builds, or Slipway itself.',
  }
  const { totalBytes, availableBytes } = memory
  const what = `${formatRoom(availableBytes)} of ${formatRoom(totalBytes)} can be had`
  const share = availableBytes / totalBytes
  const room = { freeBytes: availableBytes, sizeBytes: totalBytes }
  const floor = floorOf(room, { setBytes: memoryFloorBytes, mostBytes: mostFloorBytes.memory })
  const mend = 'Lower resources.memory of apps, stop environments that nobody needs, or add memory.'
  if (availableBytes < floor) {
    const more = `${what}; instances begin with ${formatRoom(floor)} (SLIPWAY_MEMORY_FLOOR_MB)`
    return [isBad(subject, 'fail', { what: more, mend })]
  }
  if (share >= 0.1) return [isOk(subject, what)]
  return [isBad(subject, share < 0.04 ? 'fail' : 'warn', { what, mend })]
}

function judgeOpenFiles({ openFilesLimit, openFiles }: MachineFacts): Finding[] {
  const subject: Subject = {
    check: 'open files',
    why: 'Each connection, log and push holds some; at the limit they are refused.',
  }
  const findings: Finding[] = []
  if (openFilesLimit !== null) {
    const what = `Slipway may open ${openFilesLimit} files`
    const mend = 'Raise the limit: LimitNOFILE=65536 in its unit, or ulimit -n 65536 before npm start.'
    findings.push(openFilesLimit >= 4096 ? isOk(subject, what) : isBad(subject, 'warn', { what, mend }))
  }
  if (openFiles !== null && openFiles.used / openFiles.most > 0.8) {
    const what = `The machine has ${openFiles.used} of at most ${openFiles.most} files open`
    findings.push(isBad(subject, 'warn', { what, mend: 'sysctl -w fs.file-max=…; find who opens so many: lsof' }))
  }
  return findings
}

function judgeNeighbours({ neighbours }: MachineFacts, { instances }: Expected): Finding[] {
  if (neighbours === null || instances === null) return []
  const subject: Subject = {
    check: 'neigh.gc_thresh3',
    why: 'The kernel remembers no more neighbours than this; with more instances the proxy loses some of them.',
  }
  const what = `net.ipv4.neigh.default.gc_thresh3 is ${neighbours}; instances: ${instances}`
  if (instances * 2 + 100 <= neighbours) return [isOk(subject, what)]
  const enough = Math.max(4096, 2 ** Math.ceil(Math.log2(instances * 4)))
  const mend = `sysctl -w net.ipv4.neigh.default.gc_thresh3=${enough} (and in /etc/sysctl.d to keep it)`
  return [isBad(subject, instances >= neighbours ? 'fail' : 'warn', { what, mend })]
}

function judgeConnections({ connections }: MachineFacts): Finding[] {
  if (connections === null) return []
  const subject: Subject = { check: 'conntrack', why: 'When its table is full the kernel drops new connections.' }
  const { used, most } = connections
  const what = `${used} of ${most} connections are tracked`
  if (used / most < 0.7) return [isOk(subject, what)]
  const mend = `sysctl -w net.netfilter.nf_conntrack_max=${most * 2} (and in /etc/sysctl.d to keep it)`
  return [isBad(subject, used / most > 0.95 ? 'fail' : 'warn', { what, mend })]
}
