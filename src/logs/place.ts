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
  /** `web.1`, `command-1` */
  readonly from: string
  /** First digits of the container's id. */
  readonly container: string
}

/** Names from labels become folders: nothing but what names are made of passes. */
const name = /^[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?$/

/** Labels say whose a container is; its name ends with the number of the release and which of its containers it is. */
export function printerOf({ labels, name: containerName, containerId }: Instance): Printer | null {
  const app = labels[labelNames.app] ?? ''
  const environment = labels[labelNames.environment] ?? ''
  const kind = labels[labelNames.kind]
  const [, release, which = ''] = /-v([1-9][0-9]{0,8})-([a-z0-9-]{1,40})$/.exec(containerName) ?? []
  if ((kind !== 'instance' && kind !== 'command') || release === undefined) return null
  if (!name.test(app) || !name.test(environment)) return null
  return {
    place: { app, environment, journal: `v${release}` },
    from: kind === 'instance' ? `web.${which}` : which,
    container: containerId.slice(0, 12),
  }
}

/** One of the journals that Slipway makes; other folders are nobody's. */
export function isJournal(folder: string): boolean {
  return /^(?:v[1-9][0-9]{0,8}|router)$/.test(folder)
}
