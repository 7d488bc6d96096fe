import { type Instance, labelNames } from '../runtime/index.ts'

/** Where lines are kept: `<app>/<environment>/<journal>` below the folder of all logs. */
export interface Place {
  readonly app: string
  readonly environment: string
  /** `v12` for a release, `router` for what the proxy says. */
  readonly journal: string
}

/** Whose lines a container prints, or null for one that is none of a release's (a build's). */
export interface Printer {
  readonly place: Place
  /** `web.1`, `release.migrations` */
  readonly from: string
  /** First digits of the container's id. */
  readonly container: string
}

/** Names from labels become folders: nothing but what names are made of passes. */
const name = /^[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?$/

/**
 * Labels say whose a container is, of which release, and which of its processes. Those from before 0.2.0 end their names with
 * the number of the release and which of its containers they are.
 */
export function printerOf({ labels, name: containerName, containerId }: Instance): Printer | null {
  const app = labels[labelNames.app] ?? ''
  const environment = labels[labelNames.environment] ?? ''
  const kind = labels[labelNames.kind]
  const [, number, which = ''] = /-v([1-9][0-9]{0,8})-([a-z0-9-]{1,40})$/.exec(containerName) ?? []
  const release = labels[labelNames.version] ?? (number === undefined ? '' : `v${number}`)
  if (!['instance', 'command', 'cron'].includes(kind ?? '') || !isJournal(release)) return null
  if (!name.test(app) || !name.test(environment)) return null
  const process = labels[labelNames.process] ?? 'web'
  const names: Readonly<Record<string, string>> = {
    instance: `${process}.${labels[labelNames.position] ?? which}`,
    // `release.<label>`
    command: labels[labelNames.process] ?? /command-[0-9]{1,3}$/.exec(containerName)?.[0] ?? which,
    // `cron.<label>`
    cron: process,
  }
  const from = names[kind ?? ''] ?? ''
  if (!/^[a-z0-9_.-]{1,60}$/.test(from)) return null
  return { place: { app, environment, journal: release }, from, container: containerId.slice(0, 12) }
}

/** One of the journals that Slipway makes; other folders are nobody's. */
export function isJournal(folder: string): boolean {
  return /^(?:v[1-9][0-9]{0,8}|router)$/.test(folder)
}
