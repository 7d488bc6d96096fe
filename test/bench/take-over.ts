import { setTimeout as delay } from 'node:timers/promises'
import { makePusher, type Pusher } from './pusher.ts'
import type { BenchServer } from './server.ts'
import { waitFor } from './wait.ts'

export interface TakeOverRounds {
  readonly deploys: number
  /** ms from the start after `kill -9` until the new server owns all that ran. */
  readonly owned: readonly number[]
  /** ms until it says that it is ready. */
  readonly ready: readonly number[]
  /** Deploys that were taken over and did not go live. */
  readonly notLive: number
}

/** Half of them build, two at a time while the others wait for a slot; half are in their release command. */
const releaseSeconds = 20
const buildSeconds = 2

/** Deploys that are in the middle when their server is killed: how long until another has them all, and do they go live? */
export async function measureTakeOver(
  server: BenchServer,
  { deploys, rounds }: { deploys: number; rounds: number },
): Promise<TakeOverRounds> {
  const result = { owned: [] as number[], ready: [] as number[] }
  const pushers: Pusher[] = []
  let notLive = 0
  try {
    for (let i = 0; i < deploys; i += 1) {
      pushers.push(await makePusher(`${server.controlUrl}/taken${i}.git`, server.token))
    }
    for (let round = 1; round <= rounds; round += 1) {
      const before = await lastDeploy(server)
      await startDeploys(server, { pushers, round, before })
      const owner = await readOwner(server, before)
      const { begunMs, ready } = await server.restart()
      const isReady = ready.then(() => result.ready.push(performance.now() - begunMs))
      await untilOwned(server, { before, owner, deploys })
      const ownedMs = performance.now() - begunMs
      result.owned.push(ownedMs)
      await isReady
      notLive += await countNotLive(server, before)
      process.stdout.write(
        `  round ${round}: owned after ${ownedMs.toFixed(0)} ms, ready after ${(result.ready.at(-1) ?? 0).toFixed(0)} ms\n`,
      )
    }
    return { deploys, ...result, notLive }
  } finally {
    for (const pusher of pushers) await pusher.remove()
  }
}

async function lastDeploy(server: BenchServer): Promise<number> {
  const [row] = await server.sql<{ id: number }>('select coalesce(max(id), 0)::int as id from deploys')
  return row?.id ?? 0
}

async function startDeploys(
  server: BenchServer,
  { pushers, round, before }: { pushers: readonly Pusher[]; round: number; before: number },
): Promise<void> {
  const half = Math.floor(pushers.length / 2)
  const untilSteps = (step: string, count: number): Promise<void> =>
    waitFor(`${count} deploys at ${step}`, 60_000, async () => {
      const rows = await server.sql(`select 1 from deploys where id > $1 and state = 'running' and step = $2`, [
        before,
        step,
      ])
      return rows.length === count
    })
  const push = async (some: readonly Pusher[], buildFor: number, releaseFor: number): Promise<void> => {
    for (const [i, pusher] of some.entries()) await pusher.commit(app(`${round} ${i}`, { buildFor, releaseFor }))
    await Promise.all(some.map((pusher) => pusher.push('main', '-o', 'nowait')))
  }
  await push(pushers.slice(0, half), 0, releaseSeconds)
  await untilSteps('release-commands', half)
  await push(pushers.slice(half), buildSeconds, 0)
  await untilSteps('build', pushers.length - half)
}

function app(text: string, { buildFor, releaseFor }: { buildFor: number; releaseFor: number }): Record<string, string> {
  return {
    Dockerfile: `FROM slipway-test/busybox:1\nCOPY www /www\nRUN sleep ${buildFor}\nCMD ["/bin/sh", "-c", "exec httpd -f -p $PORT -h /www"]\n`,
    'www/index.html': `${text}\n`,
    'slipway.yml': `drain: 0s\nstop: 1s\nrelease:\n  - { label: wait, run: "sleep ${releaseFor}" }\n`,
  }
}

async function readOwner(server: BenchServer, before: number): Promise<string> {
  const rows = await server.sql<{ owner: string }>(
    `select distinct lease_owner as owner from deploys where id > $1 and state = 'running'`,
    [before],
  )
  if (rows.length !== 1 || rows[0] === undefined) throw new Error(`The deploys have ${rows.length} owners.`)
  return rows[0].owner
}

/** Every one of them has the new owner, or has ended by it. */
async function untilOwned(
  server: BenchServer,
  { before, owner, deploys }: { before: number; owner: string; deploys: number },
): Promise<void> {
  await waitFor(
    'all deploys to be owned again',
    60_000,
    async () => {
      const rows = await server.sql(
        `select 1 from deploys where id > $1 and (finished_at is not null or lease_owner <> $2)`,
        [before, owner],
      )
      return rows.length === deploys
    },
    10,
  )
}

async function countNotLive(server: BenchServer, before: number): Promise<number> {
  const read = (condition: string): Promise<object[]> =>
    server.sql(`select 1 from deploys where id > $1 and ${condition}`, [before])
  await waitFor('all deploys to end', 120_000, async () => (await read('finished_at is null')).length === 0, 250)
  await delay(500)
  return (await read(`state <> 'live'`)).length
}
