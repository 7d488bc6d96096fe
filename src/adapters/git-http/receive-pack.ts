import { statfsSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Principal } from '../../accounts/index.ts'
import {
  type Git,
  type GitChild,
  type GitExit,
  type GitLimits,
  mostUpdates,
  type OpenPush,
  type SpawnGit,
  tooManyUpdates,
} from '../../git/index.ts'
import { asSlipwayError, SlipwayError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Slots } from '../../kernel/slots.ts'
import { neverCache } from './answers.ts'
import { type PushHead, readPushHead } from './push-head.ts'
import { discardRest, feed, readBody, readUntilEnd, roomIn } from './request-body.ts'
import { AnswerReader, refusal } from './sideband.ts'

export interface ReceiveDependencies {
  readonly git: Git
  readonly spawnGit: SpawnGit
  readonly slots: Slots
  readonly maxPushBytes: number
  /** Throws in words when the disk has no room for so many bytes (0: unknown); without it git finds out. */
  readonly assertRoom?: (bytes: number) => Promise<void>
  readonly limits: GitLimits
  readonly idleMs: number
  readonly stalledReaderMs: number
  readonly logger: Logger
}

export interface PushExchange {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly principal: Principal
  readonly app: string
  readonly clientGone: AbortSignal
}

/** How long the rest of a refused push is read, so that its client comes to reading the refusal. */
const discardMs = 10 * 60_000
/** Less than the smallest push needs. */
const leastFreeBytes = 64 * 1024

/** A push: its beginning is read, git gets it all, and git's answer goes back with what can be added to it. */
export async function receivePack(deps: ReceiveDependencies, exchange: PushExchange): Promise<void> {
  const { req, res } = exchange
  const body = readBody(req, { maxBytes: deps.maxPushBytes, idleMs: deps.idleMs })
  const head = await readPushHead(body)
  neverCache(res)
  res.setHeader('Content-Type', 'application/x-git-receive-pack-result')
  if (head === null) {
    res.end()
    return
  }
  const early = refuseEarly(req, head, deps.maxPushBytes) ?? (await lackOfRoom(deps, req))
  if (early !== null) {
    await refuse(exchange, head, early)
    return
  }
  const release = await deps.slots.take(exchange.clientGone)
  try {
    const push = await deps.git.openPush(exchange.principal, exchange.app, exchange.clientGone)
    // From here on it is the deploy that takes its time, not git.
    void push.onTaken.then(release)
    await runReceivePack(deps, exchange, { push, head, body }).finally(() => push.close())
  } finally {
    release()
  }
}

/** What can be told before git is started. */
function refuseEarly(req: IncomingMessage, head: PushHead, maxPushBytes: number): SlipwayError | null {
  if (head.updates.length > mostUpdates) return tooManyUpdates()
  return Number(req.headers['content-length'] ?? 0) > maxPushBytes ? tooBig(maxPushBytes) : null
}

async function lackOfRoom({ assertRoom }: ReceiveDependencies, req: IncomingMessage): Promise<SlipwayError | null> {
  try {
    await assertRoom?.(Number(req.headers['content-length'] ?? 0))
    return null
  } catch (thrown) {
    return asSlipwayError(thrown)
  }
}

async function runReceivePack(
  deps: ReceiveDependencies,
  exchange: PushExchange,
  { push, head, body }: { push: OpenPush; head: PushHead; body: AsyncGenerator<Buffer, void> },
): Promise<void> {
  const { req, res, clientGone } = exchange
  const child = deps.spawnGit(['receive-pack', '--stateless-rpc', push.path], { forHook: true, limits: deps.limits })
  if (child.hookPipes !== null) push.meetHook(child.hookPipes)
  const onGone = (): void => {
    if (!push.taken) child.kill()
  }
  clientGone.addEventListener('abort', onGone, { once: true })
  if (clientGone.aborted) onGone()
  const answer = new AnswerReader((report, said) => explain(report, { child, said, path: push.path }))
  const passed = passAnswer(child, exchange, { head, answer, stalledMs: deps.stalledReaderMs }).catch(
    (error: unknown) =>
      deps.logger.error('the answer of git receive-pack cannot be passed on', { app: push.app, error }),
  )
  const failure = await feedAll(child, head, body)
  await passed
  const exit = await child.exited
  clientGone.removeEventListener('abort', onGone)
  deps.logger.debug('git receive-pack ended', { app: push.app, code: exit.code, outOfMemory: exit.outOfMemory })

  if (exit.endedFor !== null && !answer.finished) {
    deps.logger.warn('git receive-pack was ended', { app: push.app, reason: exit.endedFor.message })
    await refuse(exchange, head, push.taken ? noAnswer() : gitStalled(exit.endedFor))
  } else if (failure !== null && failure.code !== 'too_large') {
    deps.logger.info('a push broke off', { app: push.app, reason: failure.message })
    res.destroy()
  } else if (failure !== null) {
    await refuse(exchange, head, tooBig(deps.maxPushBytes))
  } else if (!answer.finished && head.abilities.has('side-band-64k')) {
    if (!push.taken) deps.logger.warn('git receive-pack ended without an answer', { app: push.app, ...exit })
    await refuse(exchange, head, push.taken ? noAnswer() : gitFailed(exit))
  } else {
    await discardRest(req, discardMs)
    res.end()
  }
}

/** Resolves with what ended the body early; null when all of it was given to git, or git wanted no more. */
async function feedAll(
  child: GitChild,
  head: PushHead,
  body: AsyncGenerator<Buffer, void>,
): Promise<SlipwayError | null> {
  try {
    child.stdin.write(head.bytes)
    await feed(body, child.stdin)
    return null
  } catch (thrown) {
    child.kill()
    child.stdin.destroy()
    return asSlipwayError(thrown)
  }
}

/** Reads git's answer to its end in any case: a client that is gone must not stop what git has begun. */
async function passAnswer(
  child: GitChild,
  { res, clientGone }: PushExchange,
  { head, answer, stalledMs }: { head: PushHead; answer: AnswerReader; stalledMs: number },
): Promise<void> {
  const banded = head.abilities.has('side-band-64k')
  for await (const chunk of readUntilEnd(child.stdout)) {
    if (clientGone.aborted || res.destroyed) continue
    const room = res.write(banded ? answer.pass(chunk) : chunk)
    if (!room && (await roomIn(res, stalledMs)) === 'stalled') res.destroy()
  }
}

async function refuse({ req, res }: PushExchange, head: PushHead, error: SlipwayError): Promise<void> {
  const lines = [error.message, ...(error.hint === undefined ? [] : [error.hint])].map((text) => ` !     ${text}`)
  res.write(refusal(head.updates, head.abilities, { lines, reason: error.message.replace(/\.$/, '') }))
  await discardRest(req, discardMs)
  res.end()
}

/** `said` is what git has told the person so far; `path` is the repository. */
function explain(report: string, { child, said, path }: { child: GitChild; said: string; path: string }): string[] {
  if (report.includes('shallow update not allowed')) {
    return [
      ' !     This push comes from a shallow clone: it lacks the history that this repository needs.',
      ' !     Get it with: git fetch --unshallow      then push again',
    ]
  }
  const [, failure = 'ok'] = /unpack ([^\n]+)\n/.exec(report) ?? []
  const failed = failure !== 'ok' || report.includes('fail to run proc-receive hook')
  if (failed && child.outOfMemory()) {
    return [' !     Git needs more memory for this push than one push may take. Nothing was changed.']
  }
  if (failure === 'ok') return []
  if (noSpace.test(said + failure) || (/temporary|write/.test(failure) && isFull(path))) {
    return [diskFull().message, diskFull().hint].map((text) => ` !     ${text}`)
  }
  // Of these git itself has said why, on the lines before.
  const why = /abnormal exit/.test(failure) ? '' : ` (${failure})`
  return [` !     Git could not take in what was pushed${why}. Nothing was changed.`]
}

function tooBig(maxBytes: number): SlipwayError {
  const megabytes = Math.floor(maxBytes / (1024 * 1024))
  return new SlipwayError('too_large', `This push is larger than the limit of ${megabytes} MB.`, {
    hint: 'Keep large files out of the repository, or have the limit raised (SLIPWAY_MAX_PUSH_MB). Nothing was changed.',
  })
}

const noSpace = /No space left on device|Disk quota exceeded/

/** git names only what it could not make, not why. */
function isFull(path: string): boolean {
  const { bfree, bsize, ffree, files } = statfsSync(path)
  return bfree * bsize < leastFreeBytes || (files > 0 && ffree === 0)
}

function diskFull(): SlipwayError & { hint: string } {
  const error = new SlipwayError('unavailable', 'The server’s disk is full, so this push could not be stored.', {
    hint: 'Nothing was changed. Have room made on the server, then push again.',
  })
  return error as SlipwayError & { hint: string }
}

function gitFailed({ outOfMemory, stderr }: GitExit): SlipwayError {
  if (noSpace.test(stderr)) return diskFull()
  return outOfMemory
    ? new SlipwayError('too_large', 'Git needs more memory for this push than one push may take.')
    : new SlipwayError('internal', 'Git ended unexpectedly on the server.', {
        hint: 'The server’s log has the details.',
      })
}

function gitStalled(why: Error): SlipwayError {
  return new SlipwayError('timeout', `On the server ${why.message}`, {
    hint: 'It was ended, and nothing was changed. Push again; if it goes on, the server’s disk may hang.',
    cause: why,
  })
}

function noAnswer(): SlipwayError {
  return new SlipwayError('internal', 'Git ended before it could answer.', {
    hint: 'Whether the push was taken shows with: git fetch',
  })
}
