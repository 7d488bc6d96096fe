import { readFile } from 'node:fs/promises'
import type { Listener } from '../../runtime/index.ts'

/**
 * Where the processes in a network namespace listen, read from the kernel through one of them: works for images that have no
 * program to ask. Null when the process cannot be seen from here or is not of that container.
 */
export async function readListeners(pid: number, containerId: string): Promise<Listener[] | null> {
  try {
    const cgroup = await readFile(`/proc/${pid}/cgroup`, 'utf8')
    if (pid <= 0 || !cgroup.includes(containerId)) return null
    const four = await readFile(`/proc/${pid}/net/tcp`, 'utf8')
    const six = await readFile(`/proc/${pid}/net/tcp6`, 'utf8').catch(() => '')
    return parseListeners(four, six)
  } catch {
    return null
  }
}

const listening = '0A'
/** The engine's own name server in each container. */
const engineResolver = '127.0.0.11'

export function parseListeners(tcp: string, tcp6: string): Listener[] {
  const found = [...rows(tcp).map((hex) => parse(hex, address4)), ...rows(tcp6).map((hex) => parse(hex, address6))]
  return found
    .filter(({ address }) => address !== engineResolver)
    .sort((a, b) => a.port - b.port || a.address.localeCompare(b.address))
}

function rows(text: string): string[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === listening)
    .map((fields) => fields[1] ?? '')
}

function parse(hex: string, address: (hex: string) => string): Listener {
  const [host = '', port = ''] = hex.split(':')
  return { address: address(host), port: Number.parseInt(port, 16) }
}

function address4(hex: string): string {
  return [6, 4, 2, 0].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)).join('.')
}

/** Enough to tell all addresses, loopback and IPv4 in IPv6 apart; others as the kernel writes them. */
function address6(hex: string): string {
  if (/^0+$/.test(hex)) return '::'
  if (/^0{24}01000000$/.test(hex)) return '::1'
  if (hex.startsWith('0000000000000000FFFF0000')) return address4(hex.slice(24))
  return hex.toLowerCase()
}
