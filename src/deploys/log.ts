import { EventEmitter, once } from 'node:events'
import { type Clock, systemClock } from '../kernel/clock.ts'
import { sanitizeLine } from '../kernel/terminal-text.ts'
import { type Database, prepared, type Queryable, type Transaction } from '../postgres/database.ts'
import type { Masker, Masks } from '../vars/index.ts'
import { type DeployState, hasEnded, type LogKind, type LogLine } from './deploy.ts'
import { LostDeployError, type Own } from './line-store.ts'
import { findDeploy } from './store.ts'

/*
 * A deploy's log: one writer, its own sequence from 1, kept in the database. Readers get what is stored and then wait for
 * more; they can stop and go on anywhere.
 */

/** A deploy's foreign output is kept up to this; the cut is told. Slipway's own lines always pass. */
const outputLimitBytes = 20 * 1024 * 1024
/** What a line costs beside its text; without it, empty lines would go on for ever. */
const lineBytes = 64

/** More lines than this that are not stored yet hold up whoever writes them: a flood must not fill the memory. */
const mostWaiting = 2_000

/** Lines at a time, from and to the database. */
const batch = 500

export type NewLine = Pick<LogLine, 'kind' | 'text'>

export interface DeployLog {
  write(kind: LogKind, text: string): void
  /** As the log would show it: what is recorded of a deploy elsewhere goes through this. */
  readonly mask: (text: string) => string
  /** Resolves when more may be written: at once, unless many lines wait to be stored. Awaited between chunks of foreign output. */
  room(): Promise<void>
  /** Resolves when everything written so far is stored. Rejects when the database did not take it. */
  flush(): Promise<void>
  /** Writes lines in the transaction of what they tell of: no reader sees one without the other. */
  writeWith(tx: Transaction, lines: readonly NewLine[]): Promise<void>
  /** Says `text()` whenever nothing was written for `everyMs`, until the returned function is called. */
  heartbeat(everyMs: number, text: () => string): () => void
}

export interface DeployLogs {
  /** For the worker that runs the deploy. Whoever lost it writes nothing more: `LostDeployError`. */
  open(own: Own): Promise<DeployLog>
  /** The first lines of a deploy, in the transaction that makes it. */
  begin(tx: Transaction, deployId: number, lines: readonly NewLine[]): Promise<void>
  /** Adds lines to a deploy that nobody runs (it waits, or is just being ended). */
  append(tx: Transaction, deployId: number, lines: readonly NewLine[]): Promise<void>
  /** Tells readers to look again; call after a transaction that appended or ended something. */
  notify(deployId: number): void
  follow(deployId: number, options: { after: number; signal: AbortSignal }): AsyncIterable<LogLine>
}

interface LogsOptions {
  readonly clock?: Clock
  /** The secrets of environments are replaced in all that is written; without it nothing is. */
  readonly masks?: Pick<Masks, 'ofEnvironment' | 'ofRelease'>
}

export function makeDeployLogs(db: Database, { clock = systemClock, masks }: LogsOptions = {}): DeployLogs {
  const news = new EventEmitter()
  news.setMaxListeners(0)
  const notify = (deployId: number): void => void news.emit(String(deployId))

  return {
    notify,
    async open(own) {
      const [masker, bytes] = await Promise.all([maskerOf(db, masks, own.id), countOutputBytes(db, own.id)])
      return openLog({ db, clock, masker, notify: () => notify(own.id) }, own, bytes)
    },
    begin: (tx, deployId, lines) => insertLines(tx, deployId, { first: 1, lines }),
    async append(tx, deployId, lines) {
      await insertLines(tx, deployId, { first: (await lastSeq(tx, deployId)) + 1, lines })
    },
    async *follow(deployId, { after, signal }) {
      let seen = after
      while (!signal.aborted) {
        // Listening begins before reading, so that nothing written in between is missed.
        const more = once(news, String(deployId), { signal }).catch(() => undefined)
        const { lines, ended } = await readNews(db, deployId, { after: seen, limit: batch })
        for (const line of lines) {
          seen = line.seq
          yield line
        }
        if (lines.length === batch) continue
        if (ended) return
        await more
      }
    },
  }
}

const asItIs = (text: string): string => text
const maskNothing: Masker = { mask: asItIs, maskCut: asItIs, lines: () => asItIs }

/** Secrets of the environment, and of the release when the deploy has one already: it may be older than they are. */
async function maskerOf(q: Queryable, masks: LogsOptions['masks'], deployId: number): Promise<Masker> {
  const deploy = masks === undefined ? null : await findDeploy(q, deployId)
  if (masks === undefined || deploy === null) return maskNothing
  const { environmentId, releaseId } = deploy
  return releaseId === null ? masks.ofEnvironment(environmentId) : masks.ofRelease(releaseId)
}

interface LogTools {
  readonly db: Database
  readonly clock: Clock
  readonly masker: Masker
  readonly notify: () => void
}

function openLog({ db, clock, masker, notify }: LogTools, own: Own, earlierBytes: number): DeployLog {
  const maskLine = masker.lines()
  /** null: only the database knows. */
  let seq: number | null = null
  let outputBytes = earlierBytes
  const waiting: NewLine[] = []
  let writing: Promise<void> = Promise.resolve()
  let busy = false
  /** The last attempt failed: whether its lines were stored is unknown. */
  let unsure = false
  let lastWriteMs = clock.monotonicMs()

  const store = async (): Promise<void> => {
    while (waiting.length > 0) {
      const lines = waiting.splice(0, batch)
      try {
        seq ??= await lastSeq(db, own.id)
        // One writer: the same lines come again under the same numbers.
        await insertOwnLines(db, own, { first: seq + 1, lines, unlessThere: unsure })
      } catch (error) {
        unsure = true
        waiting.unshift(...lines)
        throw error
      }
      unsure = false
      seq += lines.length
      notify()
    }
  }
  // Lines that come while a batch is being stored go with the next one: no timer, and few statements when there is much.
  const begin = (): Promise<void> => {
    if (busy) return writing
    busy = true
    writing = store().finally(() => (busy = false))
    writing.catch(() => undefined)
    return writing
  }

  const log: DeployLog = {
    mask: (text) => masker.mask(text),
    write(kind, text) {
      lastWriteMs = clock.monotonicMs()
      if (kind === 'output') {
        if (outputBytes > outputLimitBytes) return
        outputBytes += Buffer.byteLength(text) + lineBytes
        if (outputBytes > outputLimitBytes)
          waiting.push({
            kind: 'detail',
            text: 'The output is longer than is kept (20 MiB, less when its lines are short); the rest is left out.',
          })
        else waiting.push({ kind, text: sanitizeLine(maskLine(text)) })
      } else {
        waiting.push({ kind, text: sanitizeLine(masker.mask(text)) })
      }
      void begin()
    },
    async room() {
      if (waiting.length > mostWaiting) await log.flush()
    },
    async flush() {
      while (busy || waiting.length > 0) await begin()
    },
    async writeWith(tx, lines) {
      await log.flush()
      // What scripts read holds numbers and names of Slipway's own: a secret that reads like it must not hide it.
      const masked = lines.map(({ kind, text }) => ({ kind, text: kind === 'machine' ? text : masker.mask(text) }))
      await insertOwnLines(tx, own, { first: (await lastSeq(tx, own.id)) + 1, lines: masked })
      seq = null
    },
    heartbeat(everyMs, text) {
      const over = new AbortController()
      const listen = async (): Promise<void> => {
        for (;;) {
          await clock.sleep(everyMs / 4, over.signal)
          if (clock.monotonicMs() - lastWriteMs >= everyMs) log.write('detail', text())
        }
      }
      listen().catch(() => undefined)
      return () => over.abort()
    },
  }
  return log
}

/** The number of a log's newest line; 0 when it has none. */
export async function lastSeq(q: Queryable, deployId: number): Promise<number> {
  const rows = await q.query<{ seq: number }>(
    'select coalesce(max(seq), 0)::int as seq from deploy_log where deploy_id = $1',
    [deployId],
    prepared,
  )
  return rows[0]?.seq ?? 0
}

async function countOutputBytes(q: Queryable, deployId: number): Promise<number> {
  const rows = await q.query<{ bytes: number }>(
    `select coalesce(sum(octet_length(text) + $2::int), 0)::bigint as bytes from deploy_log where deploy_id = $1 and kind = 'output'`,
    [deployId, lineBytes],
  )
  return rows[0]?.bytes ?? 0
}

interface Lines {
  readonly first: number
  readonly lines: readonly NewLine[]
}

async function insertLines(q: Queryable, deployId: number, { first, lines }: Lines): Promise<void> {
  if (lines.length === 0) return
  await q.query(
    `insert into deploy_log (deploy_id, seq, kind, text)
     select $1, $2 + l.n - 1, l.kind, l.text from unnest($3::text[], $4::text[]) with ordinality as l (kind, text, n)`,
    [deployId, first, kindsOf(lines), textsOf(lines)],
  )
}

/** The same, but only by the deploy's owner: one who was frozen would write between its successor's lines. */
async function insertOwnLines(
  q: Queryable,
  own: Own,
  { first, lines, unlessThere = false }: Lines & { unlessThere?: boolean },
): Promise<void> {
  if (lines.length === 0) return
  const owned = await q.query(
    `with own as (select id from deploys where id = $1 and lease_owner = $5), written as (
       insert into deploy_log (deploy_id, seq, kind, text)
       select own.id, $2 + l.n - 1, l.kind, l.text
       from own, unnest($3::text[], $4::text[]) with ordinality as l (kind, text, n)
       ${unlessThere ? 'on conflict (deploy_id, seq) do nothing' : ''}
     )
     select id from own`,
    [own.id, first, kindsOf(lines), textsOf(lines), own.worker],
    prepared,
  )
  if (owned.length === 0) throw new LostDeployError(own)
}

const kindsOf = (lines: readonly NewLine[]): string[] => lines.map((line) => line.kind)
const textsOf = (lines: readonly NewLine[]): string[] => lines.map((line) => line.text.replaceAll('\u0000', ''))

/** The next lines, and whether there will be no others: both as of one moment. */
async function readNews(
  q: Queryable,
  deployId: number,
  { after, limit }: { after: number; limit: number },
): Promise<{ lines: LogLine[]; ended: boolean }> {
  const rows = await q.query<{ state: DeployState } & (LogLine | { seq: null })>(
    `select d.state, l.seq, l.at, l.kind, l.text from deploys d left join lateral (
       select seq, at, kind, text from deploy_log where deploy_id = d.id and seq > $2 order by seq limit $3
     ) l on true where d.id = $1 order by l.seq`,
    [deployId, after, limit],
    prepared,
  )
  const lines = rows.flatMap(({ state: _, ...line }) => (line.seq === null ? [] : [line]))
  return { lines, ended: rows[0] === undefined || hasEnded(rows[0].state) }
}

export async function readLines(
  q: Queryable,
  deployId: number,
  { after, limit }: { after: number; limit: number },
): Promise<LogLine[]> {
  return q.query<LogLine>(
    'select seq, at, kind, text from deploy_log where deploy_id = $1 and seq > $2 order by seq limit $3',
    [deployId, after, limit],
  )
}
