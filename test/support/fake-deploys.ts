import type { Deploy, DeployRequest, Deploys, LogLine, QueuedDeploy } from '../../src/deploys/index.ts'
import type { Transaction } from '../../src/postgres/index.ts'

/** What the queue would do, as far as a push sees it; rows are real, nothing is built. */
export interface FakeDeploys extends Deploys {
  readonly requests: DeployRequest[]
  /** How often the queue was told to look. */
  readonly wakes: number[]
  /** Whose log is being read just now. */
  readonly following: Set<number>
  /** The lines of a deploy; by default a step and its result. `hold` ends a log only when released. */
  say(lines: readonly Pick<LogLine, 'kind' | 'text'>[]): void
  hold(): () => void
  /** The next calls of `request` fail. */
  failRequests(times: number): void
}

export function makeFakeDeploys(): FakeDeploys {
  const requests: DeployRequest[] = []
  const wakes: number[] = []
  const following = new Set<number>()
  let lines: readonly Pick<LogLine, 'kind' | 'text'>[] = [{ kind: 'step', text: 'Building' }]
  let held: Promise<void> = Promise.resolve()
  let failures = 0
  const unused = (): never => {
    throw new Error('not part of this test')
  }
  return {
    requests,
    wakes,
    following,
    say: (said) => {
      lines = said
    },
    hold() {
      let release = (): void => undefined
      held = new Promise((resolve) => {
        release = resolve
      })
      return release
    },
    failRequests: (times) => {
      failures = times
    },
    tellPlaces: unused,
    async request(tx: Transaction, request: DeployRequest): Promise<QueuedDeploy> {
      if (failures > 0) {
        failures -= 1
        throw new Error('the database is away')
      }
      const replaced = await tx.query<{ id: number }>(
        `update deploys set state = 'superseded', finished_at = now()
         where environment_id = $1 and state = 'waiting' and kind = 'push' returning id`,
        [request.environmentId],
      )
      const rows = await tx.query<{ id: number }>(
        `insert into deploys (environment_id, kind, branch, commit, requested_by, push_id, state, swap_agreed)
         values ($1, $2, $3, $4, $5, $6, 'waiting', $7) returning id`,
        [
          ...[request.environmentId, request.kind, request.branch, request.commit, request.requestedBy],
          ...[request.pushId, request.strict === true ? false : null],
        ],
      )
      requests.push(request)
      return { deployId: rows[0]?.id as number, replaced: replaced.map(({ id }) => id), ahead: 0 }
    },
    wake: () => void wakes.push(Date.now()),
    get: unused,
    list: async (): Promise<Deploy[]> => [],
    cancel: unused,
    async *follow(deployId, { signal }) {
      following.add(deployId)
      try {
        for (const [i, line] of lines.entries()) yield { ...line, seq: i + 1, at: new Date() }
        await Promise.race([held, new Promise((resolve) => signal.addEventListener('abort', resolve))])
        signal.throwIfAborted()
        yield {
          kind: 'machine',
          text: `slipway: deploy=${deployId} environment=test release=v1 status=live`,
          seq: lines.length + 1,
          at: new Date(),
        }
      } finally {
        following.delete(deployId)
      }
    },
    stopServing: unused,
    startServing: unused,
    oneOff: unused,
    closeLine: unused,
    endBegun: unused,
    afterTaken: unused,
    takeDown: unused,
    listInstances: unused,
    readSpec: unused,
    wantedMemory: unused,
    start: unused,
    reconcile: unused,
    findDifferences: unused,
    applyExposure: unused,
    askForRelease: unused,
    stop: unused,
  }
}
