import { setTimeout as delay } from 'node:timers/promises'
import type { Queryable } from '../postgres/database.ts'
import { describeEvent, kindsOf } from './describe.ts'
import type { ActivityFilter } from './store.ts'
import * as store from './store.ts'

/** Everything that anyone or anything did, read from the events. */
export interface Activity {
  /** What fits, the newest first, at most `limit`; `before` goes on behind the last entry of an earlier page. */
  list(filter: ActivityFilter, page: { limit: number; before: number | null }): Promise<Entry[]>
  /** Throws `bad_request` for what no entry had as its cursor. */
  readonly assertCursor: (text: string) => void
  /** Throws `bad_request` for a kind that no entry can have. */
  readonly assertKind: (kind: string) => void
  /**
   * What fits and happens behind the entry with the cursor `after` (null: from now on), in the order of its transactions, until
   * the signal fires.
   */
  follow(filter: ActivityFilter, options: { after: string | null; signal: AbortSignal }): AsyncIterable<FollowedEntry>
}

export interface Entry {
  readonly id: number
  readonly at: Date
  readonly kind: string
  /** Who did it. */
  readonly by: string
  /** From where; null for what Slipway does itself. */
  readonly origin: string | null
  readonly app: string | null
  readonly environment: string | null
  readonly deployId: number | null
  /** `v12`, where it is about one. */
  readonly release: string | null
  /** What happened, as a sentence without its end. */
  readonly what: string
}

export interface FollowedEntry extends Entry {
  /** Where to go on after this one. */
  readonly cursor: string
}

/** How often followers look: what happened is seen within this. */
const lookMs = 1_000
const batch = 200

export function makeActivity({ db, everyMs = lookMs }: { db: Queryable; everyMs?: number }): Activity {
  return {
    async list(filter, page) {
      return (await store.listNewest(db, filter, page)).map(toEntry)
    },
    assertKind: (kind) => void kindsOf(kind),
    assertCursor: (text) => void store.parseCursor(text),
    async *follow(filter, { after, signal }) {
      let from = after === null ? await store.findEnd(db) : store.parseCursor(after)
      while (!signal.aborted) {
        // Asked before: what is below it and is not found now never will be, so it is not looked through again.
        const end = await store.findEnd(db)
        const rows = await store.listAfter(db, filter, { from, limit: batch })
        for (const row of rows) yield { ...toEntry(row), cursor: store.renderCursor(row) }
        from = rows.at(-1) ?? end
        if (rows.length < batch) await delay(everyMs, undefined, { signal }).catch(() => undefined)
      }
    },
  }
}

function toEntry({ data, actor, ...row }: store.EventRow): Entry {
  return {
    id: row.id,
    at: row.at,
    kind: row.kind,
    by: actor ?? 'slipway',
    origin: row.origin,
    app: row.app,
    environment: row.environment,
    deployId: row.deployId,
    release: typeof data['release'] === 'number' ? `v${data['release']}` : null,
    what: describeEvent({ ...row, data }),
  }
}
