import { randomBytes } from 'node:crypto'
import { callApi } from './api.ts'
import { limits, untilRetired } from './deploy-overhead.ts'
import { answers, docker, makeNetwork } from './floor.ts'
import { watchFor } from './http-probe.ts'
import { makePusher } from './pusher.ts'
import type { BenchServer } from './server.ts'
import { waitFor } from './wait.ts'

/** One round of each, in turn. */
export interface MoveRounds {
  /** ms of `docker run` of the same image, with the same limits, until its port is open. */
  readonly floor: readonly number[]
  readonly rollback: Moved
  readonly promotion: Moved
  /** Answers that were neither the old version nor the new one. */
  readonly failures: number
}

export interface Moved {
  /** ms from the call until the new version answers at its address. */
  readonly ms: readonly number[]
  /** Of these, in the step that checks. */
  readonly checks: readonly number[]
}

const app = (text: string): Record<string, string> => ({
  Dockerfile: 'FROM slipway-test/busybox:1\nCOPY www /www\nCMD ["/bin/sh", "-c", "exec httpd -f -p $PORT -h /www"]\n',
  'www/index.html': `${text}\n`,
})
const bodies = ['first', 'second'] as const
const path = (environment: string): string => `apps/moved/environments/${environment}`

/** Two releases of test: back from one to the other, then what test serves to live, round by round. */
export async function measureMoves(server: BenchServer, rounds: number): Promise<MoveRounds> {
  const pusher = await makePusher(`${server.controlUrl}/moved.git`, server.token)
  const name = `moves-${randomBytes(3).toString('hex')}`
  const result = { floor: [] as number[], failures: 0 }
  const rollback = { ms: [] as number[], checks: [] as number[] }
  const promotion = { ms: [] as number[], checks: [] as number[] }
  try {
    for (const body of bodies) {
      await pusher.commit(app(body))
      await pusher.push('main')
    }
    const { prefix } = await makeNetwork(name)
    // The first of each makes what later ones find: it is not counted.
    for (let round = 0; round <= rounds; round += 1) {
      const body = bodies[round % 2] as string
      const floor = await startByHand(await findImage(server, round % 2), { name, address: `${prefix}.${10 + round}` })
      await untilRetired(server)
      const back = await move(server, {
        environment: 'test',
        what: 'rollbacks',
        body,
        given: { release: `v${1 + (round % 2)}` },
      })
      const there = await move(server, { environment: 'live', what: 'promotions', body, given: { from: 'test' } })
      process.stdout.write(
        `  round ${round}: start ${floor.toFixed(0)} ms, rollback ${back.ms.toFixed(0)} ms, promotion ${there.ms.toFixed(0)} ms\n`,
      )
      if (round === 0) continue
      result.floor.push(floor)
      for (const [moved, all] of [
        [back, rollback],
        [there, promotion],
      ] as const) {
        all.ms.push(moved.ms)
        all.checks.push(moved.checks)
        // Before the first promotion there is nothing that could answer.
        result.failures += moved.failures
      }
    }
  } finally {
    await pusher.remove()
    await docker('network', 'rm', name).catch(() => undefined)
  }
  return { ...result, rollback, promotion }
}

/** Back to what is still warm: `ms` from the call to the first answer of the old version, and what of it was its check. */
export async function measureWarm(server: BenchServer, rounds: number): Promise<Moved & { readonly failures: number }> {
  const pusher = await makePusher(`${server.controlUrl}/warm.git`, server.token)
  const result = { ms: [] as number[], checks: [] as number[], failures: 0 }
  const push = async (body: string): Promise<void> => {
    await pusher.commit({ ...app(body), 'slipway.yml': 'keep_warm: 10m\n' })
    await pusher.push('main')
  }
  const warm = 'apps/warm/environments/test'
  try {
    await push('kept')
    for (let round = 0; round <= rounds; round += 1) {
      await push(`newer ${round}`)
      const watch = watchFor(server.port, 'test--warm.localhost', 'kept')
      const begun = performance.now()
      await callApi(server, 'POST', `${warm}/rollbacks`, { hold: false })
      const ms = (await watch.seen) - begun
      result.failures += watch.stop()
      await waitFor('the rollback to end', 20_000, async () => {
        return (await server.sql(`select 1 from deploys where state in ('waiting', 'running')`)).length === 0
      })
      process.stdout.write(`  round ${round}: warm rollback ${ms.toFixed(0)} ms\n`)
      // The first makes what later ones find.
      if (round === 0) continue
      result.ms.push(ms)
      result.checks.push(await readCheck(server))
    }
  } finally {
    await callApi(server, 'POST', `${warm}/stop`, {}).catch(() => undefined)
    await pusher.remove()
  }
  await untilRetired(server)
  return result
}

async function findImage(server: BenchServer, index: number): Promise<string> {
  const rows = await server.sql<{ digest: string }>(
    `select b.image ->> 'digest' as digest from builds b join apps a on a.id = b.app_id where a.name = 'moved' order by b.id`,
  )
  return rows[index]?.digest ?? ''
}

async function startByHand(image: string, { name, address }: { name: string; address: string }): Promise<number> {
  const begun = performance.now()
  const container = `${name}-${address.split('.')[3] ?? ''}`
  try {
    const how = ['--name', container, '--network', name, '--ip', address, '-e', 'PORT=8080', ...limits]
    await docker('run', '-d', ...how, image)
    await waitFor('the bare container', 20_000, async () => await answers(address), 2)
    return performance.now() - begun
  } finally {
    await docker('rm', '-f', container)
  }
}

interface Move {
  readonly environment: 'test' | 'live'
  readonly what: 'rollbacks' | 'promotions'
  readonly body: string
  readonly given: object
}

async function move(
  server: BenchServer,
  { environment, what, body, given }: Move,
): Promise<{ ms: number; checks: number; failures: number }> {
  const host = environment === 'live' ? 'moved.localhost' : 'test--moved.localhost'
  const watch = watchFor(server.port, host, body)
  const begun = performance.now()
  try {
    await callApi(server, 'POST', `${path(environment)}/${what}`, given)
    const ms = (await watch.seen) - begun
    const failures = watch.stop()
    await untilRetired(server)
    return { ms, checks: await readCheck(server), failures }
  } finally {
    watch.stop()
  }
}

async function readCheck(server: BenchServer): Promise<number> {
  const rows = await server.sql<{ ms: number }>(
    `select (extract(epoch from finished_at - started_at) * 1000)::float8 as ms from deploy_steps
     where step = 'check' and deploy_id = (select max(id) from deploys)`,
  )
  return rows[0]?.ms ?? Number.NaN
}
