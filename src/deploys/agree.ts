import { appendEvent } from '../kernel/events.ts'
import type { Database, Transaction } from '../postgres/database.ts'
import { planAgreement, type Sibling, tellBroken } from './agreement.ts'
import { askToEnd, failWaiting, listSiblings, lockSiblings, recordAgreed } from './agreement-store.ts'
import { hasEnded, type Deploy } from './deploy.ts'
import { machineLine } from './end-deploy.ts'
import { lockLine } from './line-store.ts'
import type { DeployLogs } from './log.ts'
import { getDeploy } from './store.ts'
import { tellLine } from './tell-line.ts'

/** The strict pushes whose deploys run here. */
export interface Agreements {
  /** A deploy of a strict push runs: from now on it is looked how the others of its push do. */
  note(deploy: Deploy): void
  /** Resolves when all deploys of its push have passed their checks; rejects with the signal's reason. */
  untilAgreed(deploy: Deploy, signal: AbortSignal): Promise<void>
  /** Looks at all of them, and records what follows. Called whenever a deploy may have moved; safe at any time. */
  settle(): Promise<void>
}

export function makeAgreements(deps: { db: Database; logs: DeployLogs; wake: () => void }): Agreements {
  const { db, logs, wake } = deps
  /** Pushes that have not agreed yet. */
  const open = new Set<number>()
  const waiting = new Map<number, () => void>()
  return {
    note({ strict }) {
      if (strict === null || strict.agreed || open.has(strict.pushId)) return
      open.add(strict.pushId)
      wake()
    },
    async untilAgreed({ id, strict }, signal) {
      signal.throwIfAborted()
      await new Promise<void>((resolve, reject) => {
        const onAbort = (): void => {
          waiting.delete(id)
          reject(signal.reason as Error)
        }
        signal.addEventListener('abort', onAbort, { once: true })
        waiting.set(id, () => {
          waiting.delete(id)
          signal.removeEventListener('abort', onAbort)
          resolve()
        })
        if (strict !== null) open.add(strict.pushId)
        wake()
      })
    },
    async settle() {
      for (const pushId of open) {
        const { told, agreed, isOver } = await db.transaction((tx) => settleAgreement(tx, logs, pushId))
        for (const id of told) logs.notify(id)
        if (isOver) open.delete(pushId)
        for (const id of agreed) waiting.get(id)?.()
      }
    },
  }
}

interface Settled {
  /** Deploys whose readers are to be notified after the commit. */
  readonly told: readonly number[]
  /** Deploys that may swap. */
  readonly agreed: readonly number[]
  readonly isOver: boolean
}

/** One decision for all deploys of a push, in one transaction: a cancel comes before it, or too late. */
async function settleAgreement(tx: Transaction, logs: DeployLogs, pushId: number): Promise<Settled> {
  const environments = new Set((await listSiblings(tx, pushId)).map(({ environmentId }) => environmentId))
  // In the order of their numbers: two of these never wait for each other.
  for (const id of [...environments].toSorted((a, b) => a - b)) await lockLine(tx, id)
  const siblings = await lockSiblings(tx, pushId)
  const next = planAgreement(siblings)
  if (next.do === 'break') {
    return { told: await breakUp(tx, logs, siblings, tellBroken(next.because)), agreed: [], isOver: false }
  }
  if (next.do === 'agree') await recordAgreed(tx, pushId)
  if (next.do === 'wait') return { told: [], agreed: [], isOver: false }
  return { told: [], agreed: siblings.map(({ id }) => id), isOver: true }
}

/** Those that wait in their lines end here; those that run are asked to, and say why themselves. */
async function breakUp(
  tx: Transaction,
  logs: DeployLogs,
  siblings: readonly Sibling[],
  message: string,
): Promise<number[]> {
  const open = siblings.filter(({ state }) => !hasEnded(state))
  await askToEnd(
    tx,
    open.filter(({ state }) => state === 'running').map(({ id }) => id),
  )
  const told: number[] = []
  for (const { id, environmentId } of open.filter(({ state }) => state === 'waiting')) {
    await failWaiting(tx, id, message)
    const deploy = await getDeploy(tx, id)
    await logs.append(tx, id, [{ kind: 'error', text: message }, machineLine(deploy, 'failed')])
    const { appId, requestedBy: by } = deploy
    await appendEvent(tx, {
      ...{ kind: 'deploy.failed', appId, environmentId, deployId: id, by },
      data: { code: 'conflict', message },
    })
    told.push(id, ...(await tellLine(tx, logs, environmentId)))
  }
  return told
}
