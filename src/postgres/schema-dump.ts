import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ClusterConnection } from './cluster.ts'

const run = promisify(execFile)

/** The schema of a database as SQL that reads the same from every version of PostgreSQL's dump. */
export async function dumpSchema(connection: ClusterConnection, programs: string): Promise<string> {
  const { host, port, user, database } = connection
  const args = ['--schema-only', '--no-owner', '--no-privileges', '--exclude-table=schema_migrations']
  const where = ['--host', host, '--port', String(port), '--username', user, '--dbname', database]
  const { stdout } = await run(join(programs, 'pg_dump'), [...args, ...where], {
    maxBuffer: 16 * 1024 * 1024,
    timeout: 60_000,
  })
  return tidyDump(stdout)
}

/**
 * Leaves out comments, session settings and what differs between versions (such as \restrict); one blank line between
 * statements.
 */
export function tidyDump(dump: string): string {
  const kept = dump
    .split('\n')
    .filter((line) => !/^(?:--|SET |\\(?:un)?restrict |SELECT pg_catalog\.set_config)/.test(line))
    .join('\n')
  return `${kept.replace(/\n{3,}/g, '\n\n').trim()}\n`
}
