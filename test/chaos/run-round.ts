import { setTimeout as delay } from 'node:timers/promises'
import { visit, type Visitor } from '../support/visitor.ts'
import { waitFor } from '../support/slipway.ts'
import { canWork, pageOf } from './apps.ts'
import { breakings, isRunning } from './faults.ts'
import { listBroken } from './invariants.ts'
import type { Fault, PlannedPush, Round } from './plan-round.ts'
import type { World } from './world.ts'

export interface RoundResult {
  /** What does not hold, in words; empty when all is well. */
  readonly broken: string[]
  readonly requests: number
  /** Those that failed while the proxy itself was dead or frozen. */
  readonly excused: number
}

/** When the proxy could not answer (Unix, ms). */
interface Outage {
  readonly from: number
  until: number
}

/** Pushes and faults at their times, under requests to every site; then everything is mended, and looked at. */
export async function runRound(world: World, round: Round): Promise<RoundResult> {
  const visitors = world.apps.map(({ host, good }) => visit(world.slipway.port, host, good))
  const outages: Outage[] = []
  const failures: string[] = []
  const told = (what: string) => (error: unknown) =>
    void failures.push(`${what}: ${error instanceof Error ? error.message : String(error)}`)
  const pushing = round.pushes.map((push, i) => pushLater(world, push, `${round.number}.${i}`).catch(told('a push')))
  const breaking = round.faults.map((fault) => breakFor(world, fault, outages).catch(told(fault.kind)))
  await Promise.all([...pushing, ...breaking])
  if (!isRunning(world.slipway.pid())) failures.push('Slipway has ended by itself')
  const broken = failures.length > 0 ? failures : await listBroken(world)
  const refused = visitors.flatMap((visitor) => visitor.refused())
  await Promise.all(visitors.map((visitor) => visitor.stop()))
  const excused = refused.filter(({ from, until }) => outages.some((out) => from <= out.until && until >= out.from))
  const unexcused = refused.filter((one) => !excused.includes(one))
  if (unexcused.length > 0) {
    const samples = unexcused.slice(0, 3).map(({ answer }) => answer)
    broken.push(`no request fails: ${unexcused.length} did: ${samples.join(' | ')}`)
  }
  return { broken, requests: visitors.reduce((sum, visitor) => sum + countSeen(visitor), 0), excused: excused.length }
}

const countSeen = (visitor: Visitor): number => Object.values(visitor.seen()).reduce((sum, n) => sum + n, 0)

/** A push may be refused or cut off: then the server is away, and that is no fault of its. */
async function pushLater({ apps }: World, { atMs, app: at, kind }: PlannedPush, number: string): Promise<void> {
  await delay(atMs)
  const app = apps[at]
  if (app === undefined) return
  const text = `${app.name} round ${number}`
  if (canWork(kind)) app.good.push(text)
  await inTurn(app.clone.dir, async () => {
    await app.clone.write(pageOf(kind, text))
    await app.clone.commit(text)
    await app.clone.git('push', '-o', 'nowait', 'slipway', 'HEAD:refs/heads/develop')
  })
}

/** Two pushes of one app at once would meet in its clone. */
const turns = new Map<string, Promise<void>>()
function inTurn(key: string, work: () => Promise<void>): Promise<void> {
  const mine = (turns.get(key) ?? Promise.resolve()).catch(() => undefined).then(work)
  turns.set(key, mine)
  return mine
}

async function breakFor(world: World, { atMs, kind, forMs }: Fault, outages: Outage[]): Promise<void> {
  await delay(atMs)
  const outage = kind.endsWith(' proxy') ? { from: Date.now(), until: Number.POSITIVE_INFINITY } : null
  if (outage !== null) outages.push(outage)
  const mend = await breakings[kind](world)
  // Slipway brings a killed proxy back by itself: what fails after that is not excused.
  if (kind !== 'kill proxy') await delay(forMs)
  await mend()
  if (outage === null) return
  // Another fault may keep it from coming back at once: Slipway starts it, and may be dead itself.
  await waitFor('the proxy to be back', 60_000, () => answers(world))
  outage.until = Date.now()
}

const answers = ({ slipway, apps }: World): Promise<boolean> =>
  slipway.get(apps[0]?.host ?? '', '/', { timeoutMs: 2_000 }).then(
    ({ status }) => status < 500,
    () => false,
  )
