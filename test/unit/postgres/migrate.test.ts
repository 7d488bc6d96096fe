import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import {
  type DoneMigration,
  type Migration,
  readMigrations,
  whyNot,
  worksWithOf,
} from '../../../src/postgres/migrate.ts'

const root = resolve(__dirname, '../../..')
const known: Migration[] = [{ name: '0001_spine.sql', sql: '', sha256: 'a', worksWith: null }]
const spine: DoneMigration = { name: '0001_spine.sql', sha256: 'a', worksWith: null }
const later = (worksWith: string | null, name = '0002_later.sql'): DoneMigration => ({ name, sha256: 'b', worksWith })
const refuse = (done: DoneMigration[], version: string): string | null =>
  whyNot({ known, done, version })?.message ?? null

describe('a database that a newer Slipway has changed', () => {
  it('is accepted by every version that its migrations work with', () => {
    expect(refuse([spine, later('0.1.0')], '0.1.0')).toBeNull()
    expect(refuse([spine, later('0.1.0')], '0.2.0')).toBeNull()
    expect(refuse([spine, later('0.9.9')], '0.10.0')).toBeNull()
    expect(refuse([spine, later('0.2.0')], '0.2.0-beta.1')).toBeNull()
  })

  it('is refused by an older one, which says the version that is needed', () => {
    expect(refuse([spine, later('0.10.0')], '0.9.9')).toBe('The database needs Slipway 0.10.0 or newer; this is 0.9.9.')
    const several = [spine, later('0.3.0'), later('1.2.0', '0003_more.sql'), later('0.4.0', '0004_most.sql')]
    expect(refuse(several, '1.1.0')).toContain('needs Slipway 1.2.0 or newer')
  })

  it('is refused when a migration does not say what it works with', () => {
    expect(refuse([spine, later(null)], '9.0.0')).toContain('changed by a newer Slipway (0002_later.sql)')
  })
})

it('a migration that is not the one the database had is refused', () => {
  expect(refuse([{ ...spine, sha256: 'other' }], '0.1.0')).toContain('not the one that this database had')
})

describe('the head of a migration', () => {
  it('names the oldest Slipway that works with it', () => {
    expect(worksWithOf('-- Adds a column.\n-- works with: 0.1.0\nalter table x add y int;')).toBe('0.1.0')
    expect(worksWithOf('-- works with 0.1.0\nselect 1')).toBeNull()
    expect(worksWithOf(`${'--\n'.repeat(30)}-- works with: 0.1.0`)).toBeNull()
  })

  it('stands in every migration after the first, and names no version that does not exist yet', async () => {
    const { version } = JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8')) as { version: string }
    const migrations = await readMigrations(resolve(root, 'sql/migrations'))
    expect(migrations.length).toBeGreaterThan(0)
    for (const { name, worksWith } of migrations.slice(1)) {
      expect(`${name}: -- works with: ${worksWith ?? '(missing; see CONTRIBUTING.md)'}`).not.toContain('missing')
      const done = [{ name, sha256: '', worksWith }]
      // A program of this version that lacks the file would work with it.
      expect([name, whyNot({ known: [], done, version })]).toEqual([name, null])
    }
  })
})
