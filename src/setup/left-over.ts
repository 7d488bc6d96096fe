import { readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { listFromEngine } from './engine-call.ts'
import { signalProcess } from './engine-start.ts'

/** What is being ended at this moment is not left over. */
const endingMs = 3000

/** Everything at the engine that carries a Slipway's label, as `container /name`. */
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

/** Before a run: what was there already, at the engine and among the processes of temporary folders. */
export interface Before {
  readonly owned: ReadonlySet<string>
  readonly pids: ReadonlySet<number>
}

export async function lookBefore(socket: string): Promise<Before> {
  return { owned: await listOwned(socket), pids: new Set(findInTemporaryFolders().map(({ pid }) => pid)) }
}

/**
 * What a test run left behind, with the processes ended: processes with its mark in their environment, and, when nobody else uses the
 * machine (`before` given), new containers and networks and servers that work in temporary folders.
 */
export async function findLeftOver(options: {
  socket: string
  before: Before | null
  runId: string
  /** The run's own folder: what works there is still needed. */
  folder: string
}): Promise<string[]> {
  const { before, folder } = options
  const find = (): Found[] => [
    ...findMarked(options.runId),
    ...(before === null
      ? []
      : findInTemporaryFolders().filter(({ pid, command }) => !before.pids.has(pid) && !command.includes(folder))),
  ]
  let processes = find()
  for (let waited = 0; processes.length > 0 && waited < endingMs; waited += 100) {
    await delay(100)
    processes = find()
  }
  const owned =
    before === null ? [] : [...(await listOwned(options.socket))].filter((thing) => !before.owned.has(thing))
  for (const { pid } of processes) signalProcess(pid, 'SIGKILL')
  return [...owned, ...new Set(processes.map(({ pid, command }) => `process ${pid} (${command})`))]
}

interface Found {
  readonly pid: number
  readonly command: string
}

function findMarked(runId: string): Found[] {
  return findProcesses((pid) =>
    readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`CHECK_RUN_ID=${runId}`),
  )
}

/** Servers whose starter is gone and whose arguments name a temporary folder. They do not take our environment with them. */
function findInTemporaryFolders(): Found[] {
  return findProcesses((pid) => {
    const parent = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').pop()?.split(' ')[1]
    return parent === '1' && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${tmpdir()}/`)
  })
}

function findProcesses(matches: (pid: number) => boolean): Found[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .flatMap((pid) => {
      try {
        if (!matches(pid)) return []
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim().slice(0, 200)
        return [{ pid, command }]
      } catch {
        // It has ended, or belongs to somebody else.
        return []
      }
    })
}
