import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { RequestFeed, RequestLine } from '../../logs/index.ts'
import { parseRouteKey } from '../../routing/index.ts'

/*
 * The proxy writes a line for each request into a ring in its own memory: when nobody reads, the oldest are overwritten, so
 * that nothing of Slipway's can hold it up. Slipway reads the ring over the proxy's socket.
 */

export type RouterLog = 'on' | 'errors' | 'off'

/** Room for some 8,000 lines: of a restart of Slipway under a thousand requests a second nothing is lost. */
const ringBytes = 1024 * 1024
const lineBytes = 1500
/** Of method and address it keeps so much (tune.http.logurilen, with a NUL): a path that is longer is cut. */
const uriBytes = 1023
const retryMs = 1_000
/** What the proxy itself writes into the ring when it is told to stop: no line of a request begins with a letter. */
const leaving = /^Proxy public stopped /
/** A reader keeps a process that has been told to stop alive; for so long it hears of the requests that were open. */
const leaveMs = 500

export const ringLines = ['format raw', `maxlen ${lineBytes}`, `size ${ringBytes}`]

/** What the frontend must say for it. `%HPO` is the path without host and query: no credentials stand in it. */
export function logRules(mode: RouterLog): string[] {
  if (mode === 'off') return []
  const fields =
    '%pid %lc %rt %Ts%ms %Th %Ti %Ta %ST %B %ts %[var(txn.direct)] %[var(txn.key)] %[var(txn.to)] %[var(txn.why)] %HM %HPO'
  return [
    `log ring@requests len ${lineBytes} format raw local0 info`,
    `log-format "${fields}"`,
    ...(mode === 'errors' ? ['option dontlog-normal'] : []),
  ]
}

/** Null for what is no line of ours. */
export function parseRequest(line: string): RequestLine | null {
  const fields = line.split(' ')
  const [ending = '', direct = '', key = '', to = '', why = '', method = '', path = ''] = fields.slice(9)
  const numbers = fields.slice(0, 9).map(Number)
  const [process = 0, number = 0, serial = 0, at = 0, hand = 0, waited = 0, took = 0, code = 0, size = 0] = numbers
  if (fields.length < 16 || numbers.some((value) => !Number.isFinite(value))) return null
  const [target, directKey] = direct.split('@')
  const isDirect = direct.includes('@')
  return {
    process,
    number,
    serial,
    at: new Date(at + Math.max(0, hand) + Math.max(0, waited)),
    durationMs: Math.max(0, took),
    status: code > 0 ? code : null,
    bytes: size,
    method,
    path: decodeOdd(path),
    isPathCut: `${method} ${decodeOdd(path)}`.length >= uriBytes,
    ending: explainRefusal(why) ?? explainEnding(ending),
    routeKey: routeKeyOf(isDirect ? (directKey ?? '') : key),
    releaseSet: /^([dr]\d+)\/\d+$/.exec(to)?.[1] ?? null,
    target: isDirect ? (target ?? null) : null,
    isOwn: /^(?:L|PR)/.test(ending),
  }
}

/** The proxy writes `#22` for a quotation mark and `#23` for its own sign. */
function decodeOdd(path: string): string {
  return path.replace(/#([0-9A-F]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
}

function routeKeyOf(text: string): string | null {
  try {
    return parseRouteKey(text)
  } catch {
    return null
  }
}

/** Why the proxy did not let it through. */
function explainRefusal(why: string): string | null {
  const whys: Record<string, string> = {
    rate: 'this visitor asks for more each second than is set for this environment',
    open: 'this visitor has more open requests than is set for this environment',
    full: 'its instance has as many open requests as it may have',
    guesses: 'this visitor has sent too many wrong passwords',
  }
  return whys[why] ?? null
}

/** HAProxy's two letters: who ended it, and in which state. */
function explainEnding(letters: string): string | null {
  const [who = '-'] = letters
  if (who === 'C' || who === 'c') return 'the client went away'
  if (who === 's') return 'the app did not answer in time'
  if (who === 'S') return 'the app closed the connection'
  return null
}

export function makeRequestFeed(socketPath: string): RequestFeed {
  return {
    async follow(onLines, signal) {
      while (!signal.aborted) {
        await readRing(socketPath, onLines, signal).catch(() => undefined)
        await delay(retryMs, undefined, { signal }).catch(() => undefined)
      }
    },
  }
}

/**
 * Until the connection ends (the proxy has ended, or said nothing for an hour) or the process that tells is told to stop: another
 * one may have its place already, and its unit waits for its end.
 */
async function readRing(
  socketPath: string,
  onLines: (lines: readonly RequestLine[]) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const socket = connect(socketPath)
  const end = (): void => void socket.destroy()
  signal.addEventListener('abort', end, { once: true })
  let last: NodeJS.Timeout | null = null
  try {
    socket.write('show events requests -w\n')
    let rest = ''
    for await (const chunk of socket) {
      const lines = (rest + (chunk as Buffer).toString('latin1')).split('\n')
      rest = (lines.pop() ?? '').slice(0, 2 * lineBytes)
      if (lines.some((line) => leaving.test(line))) last ??= setTimeout(end, leaveMs)
      const parsed = lines.map(parseRequest).filter((line) => line !== null)
      if (parsed.length > 0) await onLines(parsed)
    }
  } finally {
    if (last !== null) clearTimeout(last)
    signal.removeEventListener('abort', end)
    socket.destroy()
  }
}
