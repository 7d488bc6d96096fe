/** Something that happened, for activity, webhooks, metrics and live streams. */
export interface NewEvent {
  readonly kind: string
  readonly appId?: number
  readonly environmentId?: number
  readonly deployId?: number
  readonly data?: Readonly<Record<string, unknown>>
}

/** Where events are written: a transaction, so that an event and the change it tells of are kept together or not at all. */
interface EventSink {
  readonly inTransaction: true
  query<Row extends object>(sql: string, values?: readonly unknown[]): Promise<Row[]>
}

export async function appendEvent(tx: EventSink, event: NewEvent): Promise<void> {
  await tx.query('insert into events (kind, app_id, environment_id, deploy_id, data) values ($1, $2, $3, $4, $5)', [
    event.kind,
    event.appId ?? null,
    event.environmentId ?? null,
    event.deployId ?? null,
    JSON.stringify(event.data ?? {}),
  ])
}
