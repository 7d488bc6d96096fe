import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SlipwayError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Database } from './database.ts'
import { type Connection, makePool } from './pool.ts'

/** For one statement of a migration: a new index on a large table takes minutes, and other statements are given up after seconds. */
const migrationLimitMs = 30 * 60_000

/** A file `0002_name.sql`, as this program has it. */
export interface Migration {
  readonly name: string
  readonly sql: string
  readonly sha256: string
  /** The oldest Slipway that still works with the database after it; null: only one that has the file. */
  readonly worksWith: string | null
}

/** A migration that a database has had. Those from before `works_with` was recorded have null. */
export interface DoneMigration {
  readonly name: string
  readonly sha256: string
  readonly worksWith: string | null
}

/**
 * Brings the schema up to date: every `0001_name.sql` that the database has not had, in order, all in one transaction.
 * Forward only. Migrations of a newer Slipway are accepted when they say that this version works with them, so that one
 * can go back to the version before without going back in the database.
 * @param version this program's
 * @returns the names of the migrations that ran
 */
export async function migrate(
  connection: Connection,
  { folder, version, logger }: { folder: string; version: string; logger: Logger },
): Promise<string[]> {
  const pool = makePool(connection, { logger, size: 1, statementLimitMs: migrationLimitMs })
  return runMigrations(pool, folder, version).finally(() => pool.close())
}

async function runMigrations(db: Database, folder: string, version: string): Promise<string[]> {
  const known = await readMigrations(folder)
  return db.transaction(async (tx) => {
    await tx.query('select pg_advisory_xact_lock(7240002)')
    await tx.query(
      'create table if not exists schema_migrations (name text primary key, sha256 text not null, applied_at timestamptz not null default now())',
    )
    await tx.query('alter table schema_migrations add column if not exists works_with text')
    const done = await tx.query<DoneMigration>(
      'select name, sha256, works_with as "worksWith" from schema_migrations order by name',
    )
    const refusal = whyNot({ known, done, version })
    if (refusal !== null) throw refusal
    const had = new Set(done.map(({ name }) => name))
    const missing = known.filter(({ name }) => !had.has(name))
    for (const { name, sql, sha256, worksWith } of missing) {
      await tx.query(sql)
      await tx.query('insert into schema_migrations (name, sha256, works_with) values ($1, $2, $3)', [
        name,
        sha256,
        worksWith,
      ])
    }
    return missing.map(({ name }) => name)
  })
}

/** The migrations of a folder, in their order. */
export async function readMigrations(folder: string): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => /^\d{4}_[a-z0-9_]+\.sql$/.test(name)).sort()
  return Promise.all(
    names.map(async (name) => {
      const sql = await readFile(join(folder, name), 'utf8')
      return { name, sql, sha256: createHash('sha256').update(sql).digest('hex'), worksWith: worksWithOf(sql) }
    }),
  )
}

/** The version in the comment `-- works with: 0.1.0` at a migration's head; null without one. */
export function worksWithOf(sql: string): string | null {
  const head = sql.split('\n').slice(0, 20)
  for (const line of head) {
    const version = /^-- works with: (\d+\.\d+\.\d+)\s*$/.exec(line)?.[1]
    if (version !== undefined) return version
  }
  return null
}

/** Why this program must not use a database that has had these migrations; null when it may. */
export function whyNot(found: {
  readonly known: readonly Migration[]
  readonly done: readonly DoneMigration[]
  readonly version: string
}): SlipwayError | null {
  const { known, done, version } = found
  const own = new Map(known.map((migration) => [migration.name, migration]))
  const other = done.find(({ name, sha256 }) => own.has(name) && own.get(name)?.sha256 !== sha256)
  if (other !== undefined) {
    return new SlipwayError('conflict', `The migration ${other.name} is not the one that this database had.`, {
      hint: 'Start the version of Slipway that this database belongs to, or a newer one.',
    })
  }
  const newer = done.filter(({ name }) => !own.has(name))
  const unnamed = newer.find(({ worksWith }) => worksWith === null)
  if (unnamed !== undefined) {
    return new SlipwayError('conflict', `The database was changed by a newer Slipway (${unnamed.name}).`, {
      hint: 'Start that version or a newer one.',
    })
  }
  const needed = newer.reduce<string>((oldest, { worksWith }) => newest(oldest, worksWith ?? oldest), '0.0.0')
  if (!isOlder(version, needed)) return null
  return new SlipwayError('conflict', `The database needs Slipway ${needed} or newer; this is ${version}.`, {
    hint: `Start Slipway ${needed} or newer; migrations go forward only.`,
  })
}

const newest = (a: string, b: string): string => (isOlder(a, b) ? b : a)

/** Compares `major.minor.patch`; what stands behind (`-beta`) does not count. */
function isOlder(a: string, b: string): boolean {
  const [left, right] = [a, b].map((text) => text.split(/[.+-]/).slice(0, 3).map(Number)) as [number[], number[]]
  for (const at of [0, 1, 2]) {
    const [x = 0, y = 0] = [left[at], right[at]]
    if (x !== y) return x < y
  }
  return false
}
