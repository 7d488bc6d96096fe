import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SlipwayError } from '../kernel/errors.ts'
import type { Database } from './database.ts'

/**
 * Brings the schema up to date: every `0001_name.sql` that the database has not had, in order, each in a transaction.
 * Forward only. Refuses a database that had migrations this program does not know (it was used by a newer Slipway) or knows
 * otherwise.
 * @returns the names of the migrations that ran
 */
export async function migrate(db: Database, folder: string): Promise<string[]> {
  const files = (await readdir(folder)).filter((name) => /^\d{4}_[a-z0-9_]+\.sql$/.test(name)).sort()
  return db.transaction(async (tx) => {
    await tx.query('select pg_advisory_xact_lock(7240002)')
    await tx.query(
      'create table if not exists schema_migrations (name text primary key, sha256 text not null, applied_at timestamptz not null default now())',
    )
    const done = new Map(
      (await tx.query<{ name: string; sha256: string }>('select name, sha256 from schema_migrations')).map((row) => [
        row.name,
        row.sha256,
      ]),
    )
    for (const name of done.keys()) {
      if (!files.includes(name)) {
        throw new SlipwayError('conflict', `The database was changed by a newer Slipway (${name}).`, {
          hint: 'Start that version or a newer one.',
        })
      }
    }
    const ran: string[] = []
    for (const name of files) {
      const sql = await readFile(join(folder, name), 'utf8')
      const sha256 = createHash('sha256').update(sql).digest('hex')
      if (done.has(name)) {
        if (done.get(name) !== sha256)
          throw new SlipwayError('conflict', `The migration ${name} is not the one that this database had.`)
        continue
      }
      await tx.query(sql)
      await tx.query('insert into schema_migrations (name, sha256) values ($1, $2)', [name, sha256])
      ran.push(name)
    }
    return ran
  })
}
