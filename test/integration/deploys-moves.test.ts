import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import { failWaiting } from '../../src/deploys/agreement-store.ts'
import { type DeployState, hasEnded, mayMove } from '../../src/deploys/deploy.ts'
import { claimNextDeploy, requestCancel, supersedeWaiting } from '../../src/deploys/line-store.ts'
import { recordEnd } from '../../src/deploys/store.ts'
import { recordReverted } from '../../src/deploys/warm/watch-store.ts'
import type { Pool, Transaction } from '../../src/postgres/index.ts'
import { withOwnPool } from '../support/own-pool.ts'
import { root } from '../support/root.ts'

/*
 * Which state of a deploy may follow which stands in a table; what changes one is SQL, which has to say the same. Every statement that
 * does is tried on a deploy in each of the states.
 */

const states = Object.keys({
  ...{ waiting: 1, running: 1, live: 1, reverted: 1, failed: 1, cancelled: 1, superseded: 1 },
} satisfies Record<DeployState, 1>) as DeployState[]
const worker = 'w'

type Mover = (tx: Transaction, id: number) => Promise<unknown>

const movers: Readonly<Record<string, Mover>> = {
  claimNextDeploy: (tx) => claimNextDeploy(tx, worker),
  supersedeWaiting: (tx, id) => supersedeWaiting(tx, [id]),
  requestCancel: (tx, id) => requestCancel(tx, id, 'ada'),
  failWaiting: (tx, id) => failWaiting(tx, id, 'x'),
  recordReverted: (tx, id) => recordReverted(tx, id),
  ...Object.fromEntries(states.map((to) => [`recordEnd ${to}`, (tx, id) => recordEnd(tx, { id, worker }, to)])),
}

let pool: Pool
let environmentId: number
withOwnPool((own) => void ({ pool, environmentId } = own))

/** What a deploy in that state is in after the statement. */
async function move(from: DeployState, mover: Mover): Promise<DeployState> {
  const undone = new Error('nothing of it stays')
  let after = from
  const tried = pool.transaction(async (tx) => {
    const [row] = await tx.query<{ id: number }>(
      `insert into deploys (environment_id, kind, commit, requested_by, state, lease_owner, finished_at)
       values ($1, 'deploy', 'c', 'ada', $2, $3, case when $4 then now() end) returning id`,
      [environmentId, from, worker, hasEnded(from)],
    )
    const id = row?.id as number
    // What refuses to do it changes nothing either.
    await mover(tx, id).catch(() => undefined)
    const [now] = await tx.query<{ state: DeployState }>('select state from deploys where id = $1', [id])
    after = now?.state as DeployState
    throw undone
  })
  await expect(tried).rejects.toBe(undone)
  return after
}

describe('what changes the state of a deploy', () => {
  it('moves it as the table says, and all of the table is made use of', async () => {
    const made = new Set<string>()
    for (const [name, mover] of Object.entries(movers)) {
      for (const from of states) {
        const to = await move(from, mover)
        if (to === from) continue
        expect({ name, from, to, mayMove: mayMove(from, to) }).toEqual({ name, from, to, mayMove: true })
        made.add(`${from} ${to}`)
      }
    }
    const legal = states.flatMap((from) => states.filter((to) => mayMove(from, to)).map((to) => `${from} ${to}`))
    expect([...made].toSorted()).toEqual(legal.toSorted())
  })

  it('is among the statements that were tried, and says from which state', () => {
    const found = listSources(join(root, 'src')).flatMap((path) => {
      const statements = readFileSync(path, 'utf8').match(/update deploys\b[^`']*(?:'[^`']*'[^`']*)*`/g) ?? []
      return statements.flatMap((sql) => {
        const [, set = '', where = ''] = /\bset\b([^]*?)\bwhere\b([^]*)/.exec(sql) ?? []
        const to = /(?:^|[\s,])state = '(\w+)'/.exec(set)?.[1]
        if (to === undefined) return []
        return [{ to, from: /\bstate = '(\w+)'/.exec(where)?.[1] ?? 'any' }]
      })
    })
    expect(found.map(({ from, to }) => `${from} ${to}`).toSorted()).toEqual([
      ...['live reverted', 'waiting cancelled', 'waiting failed', 'waiting running', 'waiting superseded'],
    ])
    // All other changes go through this one, which asks for what runs, and from recordEnd alone.
    const own = listSources(join(root, 'src')).flatMap(
      (path) => readFileSync(path, 'utf8').match(/'state = \$\d/g) ?? [],
    )
    expect(own).toHaveLength(1)
  })
})

function listSources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name))
}
