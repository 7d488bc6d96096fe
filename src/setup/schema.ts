import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { SlipwayError } from '../kernel/errors.ts'
import { silentLogger } from '../kernel/logger.ts'
import { clusterPaths, findPrograms } from '../postgres/cluster-files.ts'
import { makeCluster } from '../postgres/cluster.ts'
import { migrate } from '../postgres/index.ts'
import { dumpSchema } from '../postgres/schema-dump.ts'
import { fail } from '../kernel/tell.ts'

/*
 * `npm run schema` writes sql/schema.sql from the migrations; with --check it fails when the file differs. The migrations
 * run in a cluster that exists for this alone.
 */

async function schema(args: readonly string[], root: string): Promise<void> {
  const path = join(root, 'sql', 'schema.sql')
  const now = await schemaOfMigrations(join(root, 'sql', 'migrations'))
  if (!args.includes('--check')) return writeFile(path, now)
  const written = await readFile(path, 'utf8').catch(() => '')
  if (written === now) return
  throw new SlipwayError('conflict', 'sql/schema.sql is not what the migrations make.', {
    hint: 'npm run schema writes it anew; commit it with the migration.',
    evidence: firstDifference(written, now),
  })
}

async function schemaOfMigrations(migrations: string): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'slipway-schema-'))
  await chmod(dataDir, 0o711)
  const cluster = makeCluster({ dataDir, name: 'control', logger: silentLogger, durable: false })
  try {
    const connection = await cluster.ensure()
    await migrate(connection, { folder: migrations, version: '0.0.0', logger: silentLogger })
    return await dumpSchema(connection, await findPrograms(clusterPaths(dataDir, 'control'), '/usr/lib/postgresql'))
  } finally {
    await cluster.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
}

function firstDifference(written: string, now: string): string[] {
  const [old, fresh] = [written.split('\n'), now.split('\n')]
  const at = fresh.findIndex((line, i) => line !== old[i])
  const line = at === -1 ? fresh.length : at
  return [`line ${line + 1}`, `- ${old[line] ?? ''}`, `+ ${fresh[line] ?? ''}`]
}

schema(process.argv.slice(2), resolve(import.meta.dirname, '../..')).catch(fail)
