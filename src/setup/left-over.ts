import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { listFromEngine } from './engine-call.ts'
import { signalProcess } from './engine-start.ts'

const endingMs = 3000

/** Everything at the engine that carries a Slipway's label, as `container abc…`. */
export async function listOwned(socket: string): Promise<Set<string>> {
  const labelled = encodeURIComponent(JSON.stringify({ label: ['slipway.installation'] }))
  const [containers, networks] = await Promise.all([
    listFromEngine(socket, `/containers/json?all=1&filters=${labelled}`),
    listFromEngine(socket, `/networks?filters=${labelled}`),
  ])
  return new Set([
    ...containers.map(({ Names: names, Id: id }) => `container ${String(Array.isArray(names) ? names[0] : id)}`),
    ...networks.map(({ Name: name }) => `network ${String(name)}`),
  ])
}

/**
 * What a test run left behind: processes with its mark in their environment, and containers and networks that were not there
 * before (`null`: not looked for). The processes are ended.
 */
export async function findLeftOver(options: {
  socket: string
  before: ReadonlySet<string> | null
  runId: string
}): Promise<string[]> {
  const { before } = options
  const owned = before === null ? [] : [...(await listOwned(options.socket))].filter((thing) => !before.has(thing))
  let processes = findMarked(options.runId)
  // What is being ended at this moment is not left over.
  for (let waited = 0; processes.length > 0 && waited < endingMs; waited += 100) {
    await delay(100)
    processes = findMarked(options.runId)
  }
  for (const { pid } of processes) signalProcess(pid, 'SIGKILL')
  return [...owned, ...processes.map(({ pid, command }) => `process ${pid} (${command})`)]
}

function findMarked(runId: string): { pid: number; command: string }[] {
  const mark = `CHECK_RUN_ID=${runId}`
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => {
      try {
        if (!readFileSync(`/proc/${entry}/environ`, 'utf8').split('\0').includes(mark)) return []
        const command = readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ').trim().slice(0, 200)
        return [{ pid: Number(entry), command }]
      } catch {
        // It has ended, or belongs to somebody else.
        return []
      }
    })
}
