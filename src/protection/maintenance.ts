import { type ChangeOptions, type Environment, openForChange } from '../environments/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import type { Database } from '../postgres/database.ts'
import { parseMessage } from '../routing/index.ts'
import { makeApplyRecorded } from './apply-recorded.ts'
import { putMaintenance, removeMaintenance } from './maintenance-store.ts'
import { mostRanges, parseRanges } from './protection.ts'

/** A site that is being worked on: visitors are told so, deploys go on behind it. */
export interface MaintenanceMode {
  /**
   * Begins it, or changes what is told and who sees the site; resolves when the proxy does so. `bad_request` for a message that is no
   * line of text, or a range that is none.
   */
  begin(environment: Environment, wish: MaintenanceWish, options: By): Promise<void>
  /** Resolves when visitors see the site again. False when it was not being worked on. */
  end(environment: Environment, options: By): Promise<boolean>
}

export interface MaintenanceWish {
  /** Empty: the page's own words. Null: as it was; at first, these too. */
  readonly message: string | null
  /** Who comes from there sees the site. Null: as it was; at first nobody. */
  readonly allow: readonly string[] | null
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
      const message = wish.message ? parseMessage(await mask(id, parseMessage(wish.message))) : wish.message
      const ranges = wish.allow === null ? null : parseRanges(wish.allow)
      if (ranges !== null && ranges.length > mostRanges) {
        throw new SlipwayError('bad_request', `At most ${mostRanges} ranges of addresses can see the site.`)
      }
      await db.transaction(async (tx) => {
        const { appId, name } = await openForChange(tx, id, ifVersion)
        const told = await putMaintenance(tx, id, { message, ranges, by })
        const data = { environment: name, ...told }
        await appendEvent(tx, { kind: 'environment.maintenance-begun', appId, environmentId: id, by, data })
      })
      await apply(id)
    },
    async end({ id }, { by, ifVersion }) {
      const ended = await db.transaction(async (tx) => {
        const { appId, name } = await openForChange(tx, id, ifVersion)
        if (!(await removeMaintenance(tx, id))) return false
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
