import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { SlipwayError } from '../../kernel/errors.ts'
import { quote } from '../../kernel/names.ts'

/** HAProxy's runtime API: one command for each connection, each with a time limit. */
export interface ProxySocket {
  /** Who answers: `gone` when nobody listens, `silent` when somebody does but says nothing in time. */
  probe(): Promise<ProxyInfo | 'gone' | 'silent'>
  /** Adds or changes an entry and reads it back. */
  put(map: string, key: string, value: string): Promise<void>
  remove(map: string, key: string): Promise<void>
  show(map: string): Promise<[string, string][]>
  /** Whether the proxy has such a map: one that was started by an older Slipway may not. */
  knows(map: string): Promise<boolean>
  /** Makes a map exactly this in one atomic step, however large it is; `mayCommit` is awaited right before that. */
  replace(map: string, entries: Iterable<readonly [string, string]>, mayCommit: () => Promise<void>): Promise<void>
  /**
   * Requests and upgraded connections that are open to `ip:port`, how long none began or ended (null: none ever came), and how many have
   * come.
   */
  readUse(address: string): Promise<{ open: number; quietMs: number | null; asked: number }>
  /** Resolves when the process behind the socket ends, when `ms` are over, or with the signal. */
  untilClosed(ms: number, signal: AbortSignal): Promise<void>
}

export interface ProxyInfo {
  readonly pid: number
  readonly upSeconds: number
  readonly configHash: string
}

const answerMs = 2_000
/** How long the proxy remembers a target that nobody asks for: `expire` of the table `per_target`. */
export const targetKeptMs = 24 * 60 * 60_000
/** How often it is asked again who answers, when somebody took the question and was gone before the answer. */
const probeTimes = 5
const probeAgainMs = 20
/** HAProxy takes a command into one buffer of 16 KB. An empty line ends a payload. */
const payloadBytes = 8_000

export function makeProxySocket(path: string): ProxySocket {
  const ask = async (command: string): Promise<string> => {
    try {
      return await exchange(path, command)
    } catch (cause) {
      throw new SlipwayError('unavailable', 'The proxy does not answer on its socket.', {
        hint: 'Slipway starts it again when it has ended. If it hangs, its process can be ended: Slipway brings it back.',
        cause,
      })
    }
  }
  /** For commands that answer with nothing when they have done what was asked. */
  const tell = async (command: string): Promise<void> => {
    const answer = (await ask(command)).trim()
    if (answer !== '') throw refused(answer)
  }
  /** A map of beginnings finds the longest: then the entry that was found is another one. */
  const lookUp = (answer: string, key: string): string | null => {
    if (/\bfound=no\b/.test(answer)) return null
    const [, found, value] = /\bfound=yes\b.*\bkey="([^"]*)", value="([^"]*)"/.exec(answer) ?? []
    if (value === undefined) throw refused(answer.trim())
    return found === key ? value : null
  }

  return {
    probe: () => probe(path),
    async put(map, key, value) {
      const [m, k, v] = [...words(map, key), wordOrMessage(value)] as const
      const get = `get map ${m} ${k}`
      // `add` would make a second entry of the same key, `set` fails without a first; `get` is the quick one of the three.
      const before = lookUp(await ask(get), k)
      if (before === v) return
      const after = lookUp(await ask(`${before === null ? 'add' : 'set'} map ${m} ${k} ${v};${get}`), k)
      if (after !== v) throw refused(`${k} is ${after ?? 'not there'} instead of ${v}`)
    },
    async remove(map, key) {
      const [m, k] = words(map, key)
      const answer = (await ask(`del map ${m} ${k}`)).trim()
      if (answer !== '' && !answer.startsWith('Key not found')) throw refused(answer)
    },
    async show(map) {
      const answer = await ask(`show map ${words(map)[0]}`)
      const lines = answer.split('\n').filter((line) => line !== '')
      return lines.map((line) => {
        const [pointer = '', key, value, ...rest] = line.split(' ')
        if (!pointer.startsWith('0x') || key === undefined || value === undefined || rest.length > 0) {
          throw refused(line)
        }
        return [key, value]
      })
    },
    async knows(map) {
      return (await ask('show map')).includes(`(${words(map)[0]})`)
    },
    async replace(map, entries, mayCommit) {
      const [m] = words(map)
      const created = await ask(`prepare map ${m}`)
      const version = /^New version created: ([0-9]+)$/m.exec(created)?.[1]
      if (version === undefined) throw refused(created.trim())
      try {
        for (const payload of payloads(entries)) await tell(`add map @${version} ${m} <<\n${payload}`)
        await mayCommit()
        await tell(`commit map @${version} ${m}`)
      } catch (error) {
        await ask(`clear map @${version} ${m}`).catch(() => undefined)
        throw error
      }
    },
    async readUse(address) {
      const answer = await ask(`show table per_target key ${words(address)[0]}`)
      const none = { open: 0, quietMs: null, asked: 0 }
      if (answer.trim() === '') return none
      const count = /\bconn_cur=([0-9]+)/.exec(answer)?.[1]
      if (count === undefined) {
        // The header alone: no row, so nobody has asked for it since the proxy started.
        if (/^# table: per_target,[^\n]*\n*$/.test(answer)) return none
        throw refused(answer.trim())
      }
      // A row is kept for so long after the last request began or ended.
      const left = /\bexp=([0-9]+)/.exec(answer)?.[1]
      const asked = Number(/\bhttp_req_cnt=([0-9]+)/.exec(answer)?.[1] ?? 0)
      const quietMs = left === undefined ? null : Math.max(0, targetKeptMs - Number(left))
      return { open: Number(count), quietMs, asked }
    },
    untilClosed: (ms, signal) => untilClosed(path, ms, signal),
  }
}

/** The last fence before the socket, where a blank, a semicolon or a newline would begin another command. */
function words<const Values extends readonly string[]>(...values: Values): Values {
  for (const value of values) {
    if (!/^[A-Za-z0-9_./:@+-]{1,256}$/.test(value)) {
      throw new SlipwayError('bad_request', `${quote(value)} may not be sent to the proxy.`)
    }
  }
  return values
}

/** What people say is one long word, in which nothing but letters, digits and percent signs stands. It fits into the proxy's buffer of 16 KiB. */
function wordOrMessage(value: string): string {
  if (value.length <= 8_000 && /^[A-Za-z0-9%]+\/[A-Za-z0-9%]+$/.test(value)) return value
  return words(value)[0]
}

function refused(answer: string): SlipwayError {
  return new SlipwayError('unavailable', 'The proxy refused a change.', { evidence: [answer.slice(0, 500)] })
}

function* payloads(entries: Iterable<readonly [string, string]>): Generator<string> {
  let text = ''
  for (const [key, value] of entries) {
    const [k, v] = [...words(key), wordOrMessage(value)] as const
    if (text.length + k.length + v.length > payloadBytes) {
      yield text
      text = ''
    }
    text += `${k} ${v}\n`
  }
  if (text !== '') yield text
}

const failed = (message: string, code: string): Error => Object.assign(new Error(message), { code })

/** Sends one command line and returns all that comes back until HAProxy closes. */
function exchange(path: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    const chunks: Buffer[] = []
    const end = (finish: () => void): void => {
      clearTimeout(timer)
      socket.destroy()
      finish()
    }
    const timer = setTimeout(() => end(() => reject(failed(`no answer in ${answerMs} ms`, 'SILENT'))), answerMs)
    socket.on('connect', () => socket.write(`${command}\n`))
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', (error) => end(() => reject(error)))
    socket.on('end', () => {
      const answer = Buffer.concat(chunks).toString('latin1')
      // Every answer ends with an empty line; without it the process died while it spoke.
      end(() => (answer.endsWith('\n') ? resolve(answer) : reject(failed('the answer was cut off', 'CUT_OFF'))))
    })
  })
}

/**
 * Two processes share the socket while one hands on to the other: the one that leaves may take the question with it. That says
 * nothing of the other one, so it is asked again; `gone` only when nobody listens.
 */
async function probe(path: string): Promise<ProxyInfo | 'gone' | 'silent'> {
  for (let times = 1; ; times += 1) {
    try {
      const answer = await exchange(path, 'show info')
      const pid = Number(/^Pid: ([0-9]+)$/m.exec(answer)?.[1])
      if (!Number.isInteger(pid)) return 'silent'
      const upSeconds = Number(/^Uptime_sec: ([0-9]+)$/m.exec(answer)?.[1] ?? 0)
      return { pid, upSeconds, configHash: /^description: slipway-([0-9a-f]+)$/m.exec(answer)?.[1] ?? '' }
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (code === 'ENOENT' || code === 'ECONNREFUSED') return 'gone'
      const broke = code === 'ECONNRESET' || code === 'EPIPE' || code === 'CUT_OFF'
      if (!broke) return 'silent'
      if (times === probeTimes) return 'gone'
    }
    await delay(probeAgainMs)
  }
}

function untilClosed(path: string, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      socket.destroy()
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end, { once: true })
    if (signal.aborted) end()
    socket.on('error', end)
    socket.on('close', end)
    socket.resume()
  })
}
