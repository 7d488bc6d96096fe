import { describe, expect, it } from '@jest/globals'
import {
  judgeMachine,
  type MachineFacts,
  parseMemory,
  parseOpenFiles,
  readMachine,
} from '../../../src/doctor/machine.ts'

const gb = 1024 ** 3
const healthy: MachineFacts = {
  disks: [{ path: '/data', freeBytes: 50 * gb, sizeBytes: 100 * gb, freeFiles: 500, files: 1000 }],
  memory: { totalBytes: 8 * gb, availableBytes: 4 * gb },
  openFilesLimit: 65_536,
  openFiles: { used: 1_000, most: 100_000 },
  neighbours: 1024,
  connections: { used: 100, most: 65_536 },
}
const statuses = (facts: Partial<MachineFacts>, instances = 20, diskFloorBytes: number | null = null): string[] =>
  judgeMachine({ ...healthy, ...facts }, { instances, diskFloorBytes, memoryFloorBytes: null }).map(
    ({ check, status }) => `${check} ${status}`,
  )
const disk = (fields: object): Partial<MachineFacts> => ({
  disks: [{ path: '/data', freeBytes: 50 * gb, sizeBytes: 100 * gb, freeFiles: 500, files: 1000, ...fields }],
})

describe('the machine', () => {
  it('that lacks nothing is well in every line, and says so with figures', () => {
    const findings = judgeMachine(healthy, { instances: 20, diskFloorBytes: null, memoryFloorBytes: null })
    expect(findings.map(({ status, mend }) => [status, mend])).toEqual(findings.map(() => ['ok', null]))
    expect(findings.map(({ what }) => what)).toEqual([
      '/data: 50.0 GB of 100.0 GB are free',
      '4.0 GB of 8.0 GB can be had',
      'Slipway may open 65536 files',
      'net.ipv4.neigh.default.gc_thresh3 is 1024; instances: 20',
      '100 of 65536 connections are tracked',
    ])
  })

  it.each<[string, Partial<MachineFacts>, string]>([
    ['little room', disk({ freeBytes: 3 * gb }), 'disk warn'],
    ['no room', disk({ freeBytes: 1.9 * gb }), 'disk fail'],
    ['few files', disk({ freeFiles: 20 }), 'disk warn'],
    ['no files', disk({ freeFiles: 0 }), 'disk fail'],
    ['little memory', { memory: { totalBytes: 100, availableBytes: 9 } }, 'memory warn'],
    ['no memory', { memory: { totalBytes: 100, availableBytes: 3 } }, 'memory fail'],
    ['a low limit of files', { openFilesLimit: 1024 }, 'open files warn'],
    ['nearly all files open', { openFiles: { used: 81, most: 100 } }, 'open files warn'],
    ['many connections', { connections: { used: 80, most: 100 } }, 'conntrack warn'],
    ['a full table of connections', { connections: { used: 99, most: 100 } }, 'conntrack fail'],
  ])('with %s is told', (_, facts, expected) => {
    const told = statuses(facts).filter((line) => !line.endsWith(' ok'))
    expect(told).toEqual([expected])
  })

  it('needs room for as many neighbours as it has instances', () => {
    const lineOf = (instances: number): string | undefined =>
      statuses({}, instances).find((line) => line.startsWith('neigh'))
    expect([400, 500, 1100].map(lineOf)).toEqual([
      'neigh.gc_thresh3 ok',
      'neigh.gc_thresh3 warn',
      'neigh.gc_thresh3 fail',
    ])
    const [finding] = judgeMachine(healthy, { instances: 3000, diskFloorBytes: null, memoryFloorBytes: null }).filter(
      (f) => f.status !== 'ok',
    )
    expect(finding?.mend).toContain('gc_thresh3=16384')
  })

  it('that counts no files, or has other figures missing, is not blamed for it', () => {
    expect(statuses(disk({ files: 0, freeFiles: 0 }))).toContain('disk ok')
    const nothing = {
      disks: [],
      memory: null,
      openFilesLimit: null,
      openFiles: null,
      neighbours: null,
      connections: null,
    }
    expect(statuses(nothing)).toEqual([])
  })

  it('has its floor where the setting puts it', () => {
    expect(statuses(disk({ freeBytes: 20 * gb }), 20, 30 * gb)).toContain('disk fail')
  })

  it('is read: this one has a disk and memory, and a folder that is missing is no disk', async () => {
    const facts = await readMachine(['/', '/there/is/no/such/folder'])
    expect(facts.disks.map(({ path }) => path)).toEqual(['/'])
    expect(facts.memory?.totalBytes).toBeGreaterThan(facts.memory?.availableBytes ?? 0)
    expect(facts.openFilesLimit).toBeGreaterThan(0)
  })

  it('is read from the kernel’s words', () => {
    expect(parseMemory('MemTotal:  2000 kB\nMemFree: 1 kB\nMemAvailable:   1000 kB\n')).toEqual({
      totalBytes: 2000 * 1024,
      availableBytes: 1000 * 1024,
    })
    expect(parseMemory('')).toBeNull()
    expect(parseOpenFiles('1952\t0\t9223372036854775807\n')).toEqual({ used: 1952, most: 9223372036854775807 })
    expect(parseOpenFiles('')).toBeNull()
    expect(parseOpenFiles(null)).toBeNull()
  })

  it('is told with the floor below which nothing begins', () => {
    const floors = { instances: 20, diskFloorBytes: 1024 ** 5, memoryFloorBytes: 1024 ** 5 }
    const failed = judgeMachine(healthy, floors).filter(({ status }) => status === 'fail')
    expect(failed.map(({ what }) => what)).toEqual([
      expect.stringContaining('builds begin with 1048576.0 GB (SLIPWAY_DISK_FLOOR_MB)'),
      expect.stringContaining('instances begin with 1048576.0 GB (SLIPWAY_MEMORY_FLOOR_MB)'),
    ])
  })
})
