import { plainLine } from '../kernel/terminal-text.ts'
import type { Queryable } from '../postgres/database.ts'
import type { LogSource, SourceLine } from './log-source.ts'
import * as store from './store.ts'

const pageSize = 500

/** The log of an environment's deploys, of all or of those that made one release, from a place on. */
export function openDeployLog(
  db: Queryable,
  of: { readonly environmentId: number; readonly release: number | null },
  from: store.DeployPosition,
): LogSource {
  let position = from
  let lines: store.DeployLine[] = []
  const present = ({ at, deployId, text }: store.DeployLine): SourceLine => ({
    at,
    from: `deploy ${deployId}`,
    container: '-',
    text: plainLine(text),
  })
  return {
    name: 'deploy',
    head: () => (lines[0] === undefined ? undefined : present(lines[0])),
    take() {
      const line = lines.shift()
      if (line !== undefined) position = line
    },
    position: () => `${position.micros}.${position.deployId}.${position.seq}`,
    async fill() {
      lines = await store.listDeployLines(db, of, { after: position, limit: pageSize })
    },
  }
}

export function parseDeployPosition(text: string): store.DeployPosition {
  const [micros = 0, deployId = 0, seq = 0] = text.split('.').map(Number)
  return { micros, deployId, seq }
}
