import type { Deploy, LogEventData } from './api-types.ts'
import { followEvents } from './event-stream.ts'
import { exits } from './failure.ts'
import type { Session } from './session.ts'

export interface FollowDeployOptions {
  readonly after: number
  /** Where a program gets the lines: as data, or as progress beside the final data. */
  readonly linesAreData: boolean
  /** A deploy that we just asked for: try hard to see its end. */
  readonly patient: boolean
  /** What is said of the deploy when the person leaves before its end. */
  readonly onLeave?: string
}

/** How following ended: null when the person left. */
export type Followed = Deploy | null

/** Prints a deploy's log until it has ended, over lost connections and restarts of the server. Ctrl-C leaves it alone. */
export async function followDeploy(session: Session, id: number, options: FollowDeployOptions): Promise<Followed> {
  const { out } = session
  const client = session.client()
  const signal = detachOnInterrupt()
  const events = followEvents(client, `/deploys/${id}/log?after=${options.after}`, {
    signal,
    patient: options.patient,
    onLost: (why) => out.note(`Connection lost (${why}) Trying again …`),
    onBack: () => out.note('Connected again.'),
  })
  for await (const { event, data } of events) {
    if (event === 'line') {
      const line = data as LogEventData
      if (options.linesAreData && out.json)
        out.dataLine({ seq: line.seq, at: line.at, kind: line.kind, text: line.text })
      else out.logLine(String(line.line))
    }
    if (event === 'end') return data as Deploy
  }
  out.note('')
  out.note(`Detached; deploy ${id} ${options.onLeave ?? 'goes on'}. Follow it again with: slipway deploys log ${id} -f`)
  return null
}

/** 0 when it went live, 1 when it ended otherwise, 130 when the person left before the end. */
export function exitOfFollowed(deploy: Followed): number {
  if (deploy === null) return exits.detached
  return deploy.state === 'live' ? exits.done : exits.failed
}

/** Fires at the first Ctrl-C. */
export function detachOnInterrupt(): AbortSignal {
  const controller = new AbortController()
  process.on('SIGINT', () => controller.abort())
  return controller.signal
}
