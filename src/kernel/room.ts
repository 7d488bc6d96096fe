/*
 * How much of a host's disk or memory must stay free. Figures are measured elsewhere; these are the rules.
 */

export interface Room {
  readonly freeBytes: number
  readonly sizeBytes: number
}

/** The most that is kept free where nobody has set how much: of a disk, of the memory. */
export const mostFloorBytes = { disk: 2 * 1024 ** 3, memory: 512 * 1024 ** 2 } as const

/** The smaller of a share of the whole and a fixed size: a small disk is not half reserved, a large one not by hundreds of GB. */
export function floorOf(room: Room, rule: { readonly setBytes: number | null; readonly mostBytes: number }): number {
  return rule.setBytes ?? Math.min(rule.mostBytes, Math.floor(room.sizeBytes / 20))
}

export function formatRoom(bytes: number): string {
  const mb = bytes / 1024 ** 2
  return mb < 1000 ? `${Math.max(0, Math.floor(mb))} MB` : `${(mb / 1024).toFixed(1)} GB`
}
