import { readFile } from 'node:fs/promises'
import { type MapName, mapNames } from './paths.ts'
import { difference } from './entries.ts'
import { type MapFiles, renderMap } from './map-files.ts'
import type { ProxySocket } from './socket.ts'

/** What is not as it was last written: the files of the maps, and the map that only this adapter knows of. */
export async function findDamages({
  socket,
  files,
  path,
}: {
  readonly socket: ProxySocket
  readonly files: MapFiles
  readonly path: (map: MapName) => string
}): Promise<string[]> {
  const damages: string[] = []
  for (const map of mapNames) {
    const onDisk = await readFile(path(map), 'utf8').catch(() => null)
    if (onDisk === null) damages.push(`The proxy’s map file ${map} is gone`)
    else if (onDisk !== renderMap(files.entries()[map])) damages.push(`The proxy’s map file ${map} was changed`)
  }
  const { put, remove } = difference(new Map(await socket.show(path('direct'))), files.entries().direct)
  if (put.length + remove.length > 0) damages.push('The proxy’s map direct differs from what it is derived from')
  return damages
}

/** Since when the proxy runs; null when it does not answer. */
export async function findStart(socket: Pick<ProxySocket, 'probe'>): Promise<Date | null> {
  const found = await socket.probe()
  return typeof found === 'object' ? new Date(Date.now() - found.upSeconds * 1000) : null
}
