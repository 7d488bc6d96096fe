import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'
import { makeBudget } from './budget.ts'
import type { Journals } from './journals.ts'
import type { FailedAnswers } from './failed-answers.ts'
import { encodeLine, stampOf } from './line.ts'
import type { RequestFeed, RequestLine } from './requests.ts'
import * as store from './store.ts'
import type { Queryable } from '../postgres/database.ts'
import type { Masker, Masks } from '../vars/index.ts'

interface Needs {
  readonly feed: RequestFeed
  /** Hears of every line. */
  readonly failedAnswers?: Pick<FailedAnswers, 'add'>
  readonly journals: Journals
  readonly db: Queryable
  /** A path may hold a secret: the address of a hook, a key in it. Without it nothing is masked. */
  readonly masks?: Pick<Masks, 'ofEnvironment'>
  /** Where it is noted how far the proxy's lines were read. */
  readonly folder: string
  readonly clock: Clock
  readonly logger: Logger
}

/** A line costs some 10 µs here; more of them than this are left to the proxy, which loses them and goes on. */
const bytesPerSecond = 512 * 1024
/** The proxy counts with several threads, so that lines are a little out of order. */
const disorder = 256
const noteEveryMs = 2_000
/** A freed address rests for ten minutes; until then what was known of it holds. */
const rememberMs = 5 * 60_000
const mostRemembered = 10_000

/** Keeps what the proxy says of requests, each in the log of its environment. Ends with the signal. */
export async function keepRequests(
  { feed, failedAnswers, journals, db, masks, folder, clock, logger }: Needs,
  signal: AbortSignal,
): Promise<void> {
  const whose = makeLookUp(db, clock)
  const budget = makeBudget({ clock, burst: bytesPerSecond * 4, perSecond: bytesPerSecond })
  const path = join(folder, 'router-position')
  const reader = makeReader(await readPosition(path))
  let notedMs = clock.monotonicMs()
  const onLines = async (lines: readonly RequestLine[]): Promise<void> => {
    const { fresh, lost } = reader.take(lines)
    if (lost > 0) logger.warn('lines of requests were lost: the proxy had more than were read', { lost })
    let bytes = 0
    for (const line of fresh) {
      failedAnswers?.add(line)
      const owner = await whose(line)
      if (owner === null) continue
      const { environmentId, app, environment, release } = owner
      // As long as it is not known what is secret, nothing is kept.
      const masker = await masks?.ofEnvironment(environmentId).catch(() => null)
      if (masker === null) continue
      const path = masker === undefined ? line.path : maskPath(line, masker)
      const encoded = encodeRequest({ ...line, path }, release)
      bytes += encoded.length
      journals.open({ app, environment, journal: 'router' }).append(encoded)
    }
    await budget.spend(bytes, signal)
    if (clock.monotonicMs() - notedMs < noteEveryMs) return
    notedMs = clock.monotonicMs()
    await writeFile(path, reader.position(), { mode: 0o600 }).catch(() => undefined)
  }
  await feed.follow(onLines, signal)
  await writeFile(path, reader.position(), { mode: 0o600 }).catch(() => undefined)
}

/** Clients encode what they like of it: where a secret is seen only in what they meant, that is kept. Pure. */
export function maskPath(
  { path, isPathCut }: Pick<RequestLine, 'path' | 'isPathCut'>,
  masker: Pick<Masker, 'mask' | 'maskCut'>,
): string {
  const mask = isPathCut ? masker.maskCut : masker.mask
  const masked = mask(path)
  if (!path.includes('%')) return masked
  const bytes = path.replace(/%([0-9a-f]{2})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
  const decoded = Buffer.from(bytes, 'latin1').toString()
  // A sign that was cut in its middle is none of a secret.
  const meant = isPathCut ? decoded.replace(/(?:%.?|\ufffd+)$/, '') : decoded
  const maskedMeant = mask(meant)
  return maskedMeant === meant ? masked : maskedMeant
}

function encodeRequest(line: RequestLine, release: string | null): string {
  const { method, path, status, durationMs, bytes, ending } = line
  const text = `${method} ${path} ${status ?? '-'} ${durationMs} ms ${bytes} bytes${ending === null ? '' : `, ${ending}`}`
  return encodeLine({ at: stampOf(line.at), from: 'router', container: release ?? '-', output: 'stdout', text })
}

/** Passes over what was read before, and counts what is missing. Pure. */
export function makeReader(position: { process: number; number: number } | null) {
  let { process, number } = position ?? { process: 0, number: -1 }
  /** After a break everything comes again: up to here it is known. */
  let floor = number
  let recent = new Set<string>()
  return {
    position: () => `${process} ${number}`,
    take(lines: readonly RequestLine[]): { fresh: RequestLine[]; lost: number } {
      const fresh: RequestLine[] = []
      let lost = 0
      for (const line of lines) {
        if (line.process !== process) {
          process = line.process
          number = line.number - 1
          floor = -1
          recent = new Set()
        }
        const key = `${line.number} ${line.serial}`
        if (line.number <= Math.max(floor, number - disorder) || recent.has(key)) continue
        recent.add(key)
        if (recent.size > disorder * 4) recent = new Set([...recent].slice(-disorder * 2))
        if (line.number > number + disorder) lost += line.number - number - 1
        number = Math.max(number, line.number)
        fresh.push(line)
      }
      return { fresh, lost }
    },
  }
}

type Owner = store.RequestOwner
type LookUp = (line: RequestLine) => Promise<Owner | null>

/** Which environment and release a request was for; null for Slipway's own, and while the database is away. */
function makeLookUp(db: Queryable, clock: Clock): LookUp {
  const known = new Map<string, { readonly owner: Owner | null; readonly untilMs: number }>()
  return async ({ routeKey, releaseSet, target }) => {
    if (routeKey === null) return null
    const key = `${routeKey} ${releaseSet ?? ''} ${target ?? ''}`
    const found = known.get(key)
    if (found !== undefined && clock.monotonicMs() < found.untilMs) return found.owner
    const address = target?.split(':')[0] ?? null
    const owner = await store.findRequestOwner(db, { routeKey, releaseSet, address }).catch(() => undefined)
    if (owner === undefined) return found?.owner ?? null
    if (known.size >= mostRemembered) known.clear()
    known.set(key, { owner, untilMs: clock.monotonicMs() + rememberMs })
    return owner
  }
}

async function readPosition(path: string): Promise<{ process: number; number: number } | null> {
  const text = await readFile(path, 'utf8').catch(() => '')
  const [, process, number] = /^(\d+) (\d+)$/.exec(text) ?? []
  return process === undefined ? null : { process: Number(process), number: Number(number) }
}
