import type { Part } from './parts.ts'

/** How much is kept, and how long. */
export interface LogLimits {
  readonly releaseBytes: number
  readonly environmentBytes: number
  readonly ageMs: number
}

export interface KeptPart extends Pick<Part, 'number' | 'bytes' | 'modifiedMs'> {
  readonly journal: string
  /** It is written to: it stays, whatever the limits say. */
  readonly open: boolean
}

/** Which parts of an environment's journals go: those that are too old, and of what is too much the oldest. Pure. */
export function partsToRemove(parts: readonly KeptPart[], limits: LogLimits, nowMs: number): KeptPart[] {
  const oldestFirst = [...parts].sort((a, b) => a.modifiedMs - b.modifiedMs || a.number - b.number)
  const going = new Set(oldestFirst.filter((part) => !part.open && nowMs - part.modifiedMs > limits.ageMs))
  const trim = (of: readonly KeptPart[], limit: number): void => {
    const staying = of.filter((part) => !going.has(part))
    let bytes = staying.reduce((sum, part) => sum + part.bytes, 0)
    for (const part of staying) {
      if (bytes <= limit) return
      if (part.open) continue
      going.add(part)
      bytes -= part.bytes
    }
  }
  for (const journal of new Set(parts.map((part) => part.journal))) {
    trim(
      oldestFirst.filter((part) => part.journal === journal),
      limits.releaseBytes,
    )
  }
  trim(oldestFirst, limits.environmentBytes)
  return oldestFirst.filter((part) => going.has(part))
}
