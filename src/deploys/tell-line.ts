import type { Transaction } from '../postgres/database.ts'
import { describeWait, type InLine } from './line.ts'
import { listLine, lockLine, recordWait } from './line-store.ts'
import type { DeployLogs } from './log.ts'
import { getDeploy } from './store.ts'

/**
 * Tells every waiting deploy of an environment what it waits for, when that is not what it was told last.
 * @returns the deploys that were told: their readers are to be notified after the commit
 */
export async function tellLine(tx: Transaction, logs: DeployLogs, environmentId: number): Promise<number[]> {
  if (!(await listLine(tx, environmentId)).some(waits)) return []
  const { lock } = await lockLine(tx, environmentId)
  const line = await listLine(tx, environmentId)
  const told: number[] = []
  for (const { id } of line.filter(waits)) {
    // On the way of every deploy: one that is next is asked nothing.
    if (describeWait(line, { id, environment: '', lock }) === null) continue
    const { environment } = await getDeploy(tx, id)
    const text = describeWait(line, { id, environment, lock })
    if (text === null || !(await recordWait(tx, id, text))) continue
    await logs.append(tx, id, [{ kind: 'detail', text }])
    told.push(id)
  }
  return told
}

const waits = ({ state }: InLine): boolean => state === 'waiting'
