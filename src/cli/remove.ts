import { setTimeout } from 'node:timers/promises'
import type { Client } from './client.ts'
import { exits, Failure, Problem } from './failure.ts'
import { confirmByName } from './prompt.ts'
import type { CommonOptions, Session } from './session.ts'

export interface RemoveOptions extends CommonOptions {
  readonly yes?: boolean
  readonly cancel?: boolean
  readonly wait?: boolean
}

/** Something that goes with all that it has. */
interface Doomed {
  /** Where it is in the API. */
  readonly path: string
  /** What is typed. */
  readonly name: string
  /** `qa of shop` */
  readonly title: string
  /** What goes with it, as a sentence. */
  readonly goes: string
}

const lookEveryMs = 500
/** The removal goes on in a server that is started again; one that stays away is told. */
const awayMs = 60_000

/** Asks, removes, and waits until it is gone. */
export async function remove({ client, out }: Session, doomed: Doomed, options: RemoveOptions): Promise<void> {
  const { path, name, title, goes } = doomed
  const api = client()
  // Whoever types a name must know that it is right: one that is not there is told first.
  const found = await api.call<{ state: string }>('GET', path)
  if (options.yes !== true && found.state !== 'removing') await confirmByName(name, goes)
  const query = options.cancel === true ? '?cancel=true' : ''
  const { waitsFor } = await api.call<{ waitsFor: number[] }>('DELETE', `${path}${query}`)
  if (waitsFor.length > 0) {
    const those = waitsFor.map((id) => `deploy ${id}`).join(', ')
    if (options.cancel === true) out.note(`Ending ${those} first`)
    else out.note(`Waiting until ${those} has ended. To end it now: slipway deploys cancel ${waitsFor[0] ?? ''}`)
  }
  if (options.wait === false) {
    out.data({ removed: false, waitsFor })
    out.line(`${title} is being removed.`)
    return
  }
  await untilGone(api, path, title)
  out.data({ removed: true })
  out.line(`Removed ${title}.`)
}

async function untilGone(api: Client, path: string, title: string): Promise<void> {
  let awaySince: number | null = null
  for (;;) {
    try {
      await api.call('GET', path)
      awaySince = null
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      if (error.exit === exits.notFound) return
      if (!isAway(error)) throw error
      awaySince ??= performance.now()
      if (performance.now() - awaySince > awayMs)
        throw new Failure(
          error.exit,
          error.message,
          `The removal of ${title} was begun and goes on when Slipway is back.`,
        )
    }
    await setTimeout(lookEveryMs)
  }
}

function isAway(error: Failure): boolean {
  return error.exit === exits.unreachable || (error instanceof Problem && error.code === 'unavailable')
}
