import type { Builds } from '../builds/index.ts'
import { assertImage, type DeployRequest, type Deploys, type QueuedDeploy } from '../deploys/index.ts'
import type { Environment } from '../environments/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { shortCommit } from '../kernel/short-commit.ts'
import type { Database } from '../postgres/database.ts'
import { compareVariables, type ReleaseComparison, type Releases, type ReleaseSummary } from '../releases/index.ts'
import type { Vars } from '../vars/index.ts'
import { noteRollback } from './notes.ts'
import { type CommandSince, findEarlier, findLeft, listCommandsSince } from './store.ts'

export type { CommandSince } from './store.ts'

/** Going back to a release that has served. */
export interface Rollbacks {
  /** What going back would change. Throws with the reason, and what to do instead, when it cannot be. */
  plan(environment: Environment, wish: RollbackWish): Promise<RollbackPlan>
  /** Puts it into the environment's line, as a deploy of the kind `rollback`. Throws what `plan` does. */
  begin(environment: Environment, wish: RollbackWish & { by: string }): Promise<QueuedDeploy>
}

export interface RollbackWish {
  /** Its number; null: the one that served before. */
  readonly release: number | null
  /** The variables of today, in place of those of then. */
  readonly keepVariables: boolean
  /** Pushes are not deployed any more until somebody deploys or promotes by hand. */
  readonly hold: boolean
}

export interface RollbackPlan {
  /** From what serves to what is gone back to; its variables are those that the new release will have. */
  readonly comparison: ReleaseComparison
  readonly commands: { readonly total: number; readonly first: readonly CommandSince[] }
  /** What is to be known, in sentences. */
  readonly notes: readonly string[]
}

interface Parts {
  readonly db: Database
  readonly deploys: Pick<Deploys, 'request' | 'wake'>
  readonly releases: Pick<Releases, 'current' | 'compare' | 'marksOf'>
  readonly builds: Pick<Builds, 'get' | 'hasImage'>
  readonly vars: Pick<Vars, 'listMarks'>
}

export function makeRollbacks(parts: Parts): Rollbacks {
  const { db, deploys, releases, vars } = parts

  const plan: Rollbacks['plan'] = async (environment, wish) => {
    const { id, name, app } = environment
    const { from, to } = await choose(parts, environment, wish)
    const placeOf = (number: number) => ({ environmentId: id, environment: name, number })
    const compared = await releases.compare(placeOf(from), placeOf(to))
    await assertServed(parts, environment, compared.to)
    const [before, then, today, commands] = await Promise.all([
      releases.marksOf(compared.from.id),
      releases.marksOf(compared.to.id),
      vars.listMarks(id),
      listCommandsSince(db, id, compared.to.id),
    ])
    const variables = wish.keepVariables ? compareVariables(before, today) : compared.variables
    const changesVariables = !wish.keepVariables && differ(then, today)
    const notes = noteRollback({
      ...{ app, environment: name, from, to, changesVariables, commands },
      ...{ holds: wish.hold, isHeld: environment.held },
    })
    return { comparison: { ...compared, variables }, commands, notes }
  }

  return {
    plan,
    async begin(environment, { by, ...wish }) {
      const { comparison, notes } = await plan(environment, wish)
      const { id, commit, deploy } = comparison.to
      const request: DeployRequest = {
        environmentId: environment.id,
        kind: 'rollback',
        branch: deploy?.branch ?? null,
        commit,
        requestedBy: by,
        pushId: null,
        from: { releaseId: id, variables: wish.keepVariables ? 'environment' : 'release' },
        holds: wish.hold,
        notes,
      }
      const queued = await db.transaction((tx) => deploys.request(tx, request))
      deploys.wake()
      return queued
    },
  }
}

const differ = (one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean =>
  Object.values(compareVariables(one, other)).some((names: readonly string[]) => names.length > 0)

async function choose(
  { db, releases }: Parts,
  { id, app, name }: Environment,
  { release, keepVariables }: RollbackWish,
): Promise<{ from: number; to: number }> {
  const current = await releases.current(id)
  const from = current?.number ?? null
  if (current === null || from === null) {
    throw new SlipwayError(
      'conflict',
      `Nothing was deployed to ${name} of ${app} yet, so there is nothing to go back to.`,
    )
  }
  if (release === from) {
    throw new SlipwayError('conflict', `v${from} is what ${name} serves.`, {
      hint: `To go back to what served before it: slipway rollback ${name} -a ${app}. To start v${from} anew: slipway restart ${name} -a ${app}`,
    })
  }
  const to = release ?? (await findEarlier(db, { environmentId: id, current: from, keepsVariables: keepVariables }))
  if (to !== null) return { from, to }
  const left = await findLeft(db, id, from)
  const isBack = current.deploy?.kind === 'rollback'
  const forward =
    left !== null && isBack ? `To return to what was gone back from: slipway rollback ${name} v${left} -a ${app}. ` : ''
  const same = keepVariables ? 'image' : 'image and the variables'
  const why =
    left === null || isBack
      ? `${name} has served nothing before v${from} that it could go back to.`
      : `All that ${name} has served before has the ${same} of v${from}: going back would change nothing.`
  throw new SlipwayError('conflict', why, {
    hint: `${forward}What there is: slipway releases list ${name} -a ${app}`,
  })
}

/** Only what has served, and did no harm, is gone back to, and only while its image is there. */
async function assertServed(parts: Parts, environment: Environment, target: ReleaseSummary): Promise<void> {
  const { name, app, id } = environment
  const state = target.deploy?.state
  if (state !== 'live') {
    const why =
      state === 'reverted'
        ? 'was gone back from by itself while it was watched'
        : 'has never served: its deploy did not go live'
    throw new SlipwayError('conflict', `v${target.number} ${why}.`, {
      hint: `To try its commit once more: slipway deploy ${name} --commit ${shortCommit(target.commit)} -a ${app}`,
    })
  }
  const from = { number: target.number, environment: name }
  await assertImage(parts.builds, { ...target, app, environment: name, from }, () =>
    findEarlier(parts.db, { environmentId: id, current: target.number, keepsVariables: false }, { kept: true }),
  )
}
