import { currentActor } from './actor.ts'

/** Something that happened, for activity, webhooks, metrics and live streams. */
export interface NewEvent {
  /** `<what>.<happened>`: `deploy.live`. Each has a sentence in `activity/describe.ts`. */
  readonly kind: string
  readonly appId?: number
  readonly environmentId?: number
  readonly deployId?: number
  /** Who did it, when that is not who acts now (`actAs`): a deploy ends long after somebody asked for it. */
  readonly by?: string
  /** Names and numbers, for people and programs. Never a secret. */
  readonly data?: Readonly<Record<string, unknown>>
}

/** Where events are written: a transaction, so that an event and the change it tells of are kept together or not at all. */
interface EventSink {
  readonly inTransaction: true
  query<Row extends object>(sql: string, values?: readonly unknown[]): Promise<Row[]>
}

export async function appendEvent(tx: EventSink, event: NewEvent): Promise<void> {
  const actor = currentActor()
  const by = event.by ?? actor.name
  await tx.query(
    `insert into events (kind, app_id, environment_id, deploy_id, data, actor, origin, app, environment)
     select $1, $2, $3, $4, $5, $6, $7,
       (select name from apps where id = $2), (select name from environments where id = $3)`,
    [
      event.kind,
      event.appId ?? null,
      event.environmentId ?? null,
      event.deployId ?? null,
      JSON.stringify(event.data ?? {}),
      by,
      by === actor.name ? actor.origin : null,
    ],
  )
}
