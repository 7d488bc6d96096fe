import { type ChangeOptions, type Environment, openForChange } from '../environments/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import type { Database, Transaction } from '../postgres/database.ts'
import { parseMessage } from '../routing/index.ts'
import { makeApplyRecorded } from './apply-recorded.ts'
import { mostRanges, parseRanges } from './protection.ts'

/** A site that is being worked on: visitors are told so, deploys go on behind it. */
export interface MaintenanceMode {
  /**
   * Begins it, or tells another message; resolves when the proxy does so. `bad_request` for a message that is no line of text, or a
   * range that is none.
   */
  begin(environment: Environment, wish: MaintenanceWish, options: By): Promise<void>
  /** Resolves when visitors see the site again. False when it was not being worked on. */
  end(environment: Environment, options: By): Promise<boolean>
}

export interface MaintenanceWish {
  /** Empty: the page's own words. */
  readonly message: string
  /** Who comes from there sees the site. */
  readonly allow: readonly string[]
}

type By = ChangeOptions & { readonly by: string }

interface Needs {
  readonly db: Database
  /** Makes the proxy do what the database has. */
  readonly apply: (environmentId: number) => Promise<void>
  /** Takes secrets of the environment out of what everybody is told. */
  readonly mask: (environmentId: number, text: string) => Promise<string>
}

export function makeMaintenance({ db, mask, ...needs }: Needs): MaintenanceMode {
  const apply = makeApplyRecorded(needs.apply)
  return {
    async begin({ id }, wish, { by, ifVersion }) {
      const message = wish.message === '' ? '' : parseMessage(await mask(id, parseMessage(wish.message)))
      const ranges = parseRanges(wish.allow)
      if (ranges.length > mostRanges) {
        throw new SlipwayError('bad_request', `At most ${mostRanges} ranges of addresses can see the site.`)
      }
      await db.transaction(async (tx) => {
        const { appId, name } = await openForChange(tx, id, ifVersion)
        await tx.query(
          `insert into environment_maintenance (environment_id, message, ranges, begun_by) values ($1, $2, $3::cidr[], $4)
           on conflict (environment_id) do update set message = excluded.message, ranges = excluded.ranges`,
          [id, message, ranges, by],
        )
        await countUp(tx, id)
        const data = { environment: name, message, allow: ranges }
        await appendEvent(tx, { kind: 'environment.maintenance-begun', appId, environmentId: id, by, data })
      })
      await apply(id)
    },
    async end({ id }, { by, ifVersion }) {
      const ended = await db.transaction(async (tx) => {
        const { appId, name } = await openForChange(tx, id, ifVersion)
        const gone = await tx.query('delete from environment_maintenance where environment_id = $1 returning 1', [id])
        if (gone.length === 0) return false
        await countUp(tx, id)
        const data = { environment: name }
        await appendEvent(tx, { kind: 'environment.maintenance-ended', appId, environmentId: id, by, data })
        return true
      })
      // Also when it was over already: the proxy may not have heard of it.
      await apply(id)
      return ended
    },
  }
}

async function countUp(tx: Transaction, environmentId: number): Promise<void> {
  await tx.query('update environments set version = version + 1 where id = $1', [environmentId])
}
