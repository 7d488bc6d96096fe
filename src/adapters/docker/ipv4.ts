/** IPv4 addresses and ranges as numbers. Callers pass addresses that were validated (settings, the engine, /proc). */
export interface Range {
  readonly base: number
  readonly bits: number
}

export function parseRange(cidr: string): Range {
  const [address = '', bits = '32'] = cidr.split('/')
  const size = Number(bits)
  return { base: maskTo(toNumber(address), size), bits: size }
}

export function formatRange({ base, bits }: Range): string {
  return `${toAddress(base)}/${bits}`
}

export function rangeSize({ bits }: Range): number {
  return 2 ** (32 - bits)
}

export function overlaps(a: Range, b: Range): boolean {
  const bits = Math.min(a.bits, b.bits)
  return maskTo(a.base, bits) === maskTo(b.base, bits)
}

export function toNumber(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

export function toAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.')
}

function maskTo(value: number, bits: number): number {
  return bits === 0 ? 0 : Math.floor(value / 2 ** (32 - bits)) * 2 ** (32 - bits)
}
