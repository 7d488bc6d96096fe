import { describe, expect, it } from '@jest/globals'
import { noteRollback, type Told } from '../../../src/rollbacks/notes.ts'

const told: Told = {
  ...{ app: 'shop', environment: 'live', from: 9, to: 7 },
  changesVariables: false,
  commands: { total: 0, first: [] },
  holds: false,
  isHeld: false,
}
const command = (label: string, more: { release?: number | null; exitCode?: number | null } = {}) => ({
  label,
  deployId: 12,
  release: more.release === undefined ? 8 : more.release,
  at: new Date(0),
  exitCode: more.exitCode === undefined ? 0 : more.exitCode,
})

describe('what is said of a rollback', () => {
  it('is nothing where nothing is to be known', () => {
    expect(noteRollback(told)).toEqual([])
  })

  it('names the release commands that ran since, and how those ended that did not end well', () => {
    const first = [
      command('seed', { exitCode: null }),
      command('migrations', { exitCode: 3, release: null }),
      command('index'),
    ]
    expect(noteRollback({ ...told, commands: { total: 3, first } })).toEqual([
      'Release commands have run since v7, and what they did to the data stays done: seed (v8, stopped), migrations (deploy 12, exit code 3), index (v8)',
    ])
    const many = Array.from({ length: 7 }, (_, i) => command(`step-${i}`))
    expect(noteRollback({ ...told, commands: { total: 40, first: many } })[0]).toMatch(/step-4 \(v8\) and 35 more$/)
  })

  it('says that pushes are held, and how that ends, also when they were before', () => {
    for (const [holds, isHeld] of [
      [true, false],
      [false, true],
    ] as const)
      expect(noteRollback({ ...told, holds, isHeld })).toEqual([
        'Pushes to live are held: they are not deployed until somebody deploys or promotes to it by hand',
        'To deploy on pushes again: slipway envs set live --no-hold -a shop',
      ])
  })

  it('says whose variables it has', () => {
    expect(noteRollback({ ...told, changesVariables: true })).toEqual([
      'With the variables of v7; the next deploy of live takes today’s again',
    ])
  })
})
