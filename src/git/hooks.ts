import type { Writable } from 'node:stream'
import type { Logger } from '../kernel/logger.ts'
import { sanitizeLine } from '../kernel/terminal-text.ts'
import type { HookPipes } from './git-child.ts'
import type { OpenPush } from './open-pushes.ts'
import { encodePkt, flushPkt } from './pkt-line.ts'
import type { RefReport } from './plan-push.ts'
import { type PushRequest, readHookConversation } from './push-request.ts'
import type { PushAnswer } from './receive-push.ts'

/** Slipway's side of the proc-receive hooks, which only join git to the pipes that it was started with. */
export interface Hooks {
  /** Waits for what a push's hook has to say, and answers. Everything ends with the pipes. */
  readonly meet: (push: OpenPush, pipes: HookPipes) => void
  /** Lets go of all hooks; what they have begun goes on. */
  readonly close: () => void
}

export interface HookDependencies {
  readonly receive: (push: OpenPush, request: PushRequest, answer: PushAnswer) => Promise<void>
  /** Called when the decision about a taken push has been carried out. */
  readonly settle: (push: OpenPush) => Promise<void>
  readonly logger: Logger
}

/** Git tells its hook everything at once; a person never waits here. */
const conversationMs = 30_000

const lastWords = {
  refused: ' !     Slipway does not answer, so this push is refused. Try again; if it goes on, look at its log.\n',
  undecided:
    ' !     Slipway was stopped. This strict push is neither accepted nor rejected yet: that is decided when Slipway is back and its deploys have ended.\n',
  kept: ' !     Slipway was stopped. The push is kept, and its deploys go on when Slipway is back.\n',
}

export function makeHooks(deps: HookDependencies): Hooks {
  const closing = new AbortController()
  return {
    meet(push, pipes) {
      const hook = openHook(pipes, deps.logger)
      const onClosing = (): void => hook.leave(lastWords[hook.lastWords])
      closing.signal.addEventListener('abort', onClosing, { once: true })
      pipes.talk.on('close', () => closing.signal.removeEventListener('abort', onClosing))
      if (closing.signal.aborted) onClosing()
      else converse(deps, push, hook, AbortSignal.any([push.clientGone, hook.gone, closing.signal]))
    },
    close: () => closing.abort(),
  }
}

interface Hook extends HookPipes {
  /** Fires when nothing that was given arrives any more. */
  readonly gone: AbortSignal
  /** What it is told when Slipway stops now. */
  lastWords: keyof typeof lastWords
  /** Ends it with these words to the pusher; without a report git refuses every ref. */
  leave(words?: string): void
}

function openHook(pipes: HookPipes, logger: Logger): Hook {
  const gone = new AbortController()
  for (const pipe of [pipes.talk, pipes.lines]) {
    pipe.on('error', (error) => logger.debug('a hook’s pipe broke', { error })).on('close', () => gone.abort())
  }
  return {
    ...pipes,
    gone: gone.signal,
    lastWords: 'refused',
    leave(words = '') {
      if (pipes.lines.writable) pipes.lines.end(words)
      if (pipes.talk.writable) pipes.talk.end()
    },
  }
}

function converse(deps: HookDependencies, push: OpenPush, hook: Hook, gone: AbortSignal): void {
  let limit: NodeJS.Timeout | undefined
  const refuse = (error: unknown): void => {
    clearTimeout(limit)
    // Fails closed: git sees its hook end without a report.
    deps.logger.warn('a hook was sent away', { app: push.app, error })
    hook.talk.removeAllListeners('data').resume()
    hook.leave()
  }
  const conversation = readHookConversation({
    hello(abilities) {
      const agreed = ['push-options', 'atomic'].filter((ability) => abilities.includes(ability))
      hook.talk.write(Buffer.concat([encodePkt(`version=1\0${agreed.join(' ')}\n`), flushPkt]))
    },
    request(request) {
      clearTimeout(limit)
      push.take()
      void answerHook(deps, push, request, { hook, gone })
    },
  })
  hook.talk.on('data', (chunk: Buffer) => {
    limit ??= setTimeout(() => refuse(new Error(`git did not finish within ${conversationMs} ms`)), conversationMs)
    try {
      conversation.write(chunk)
    } catch (error) {
      refuse(error)
    }
  })
  hook.talk.on('close', () => clearTimeout(limit))
}

async function answerHook(
  deps: HookDependencies,
  push: OpenPush,
  request: PushRequest,
  { hook, gone }: { hook: Hook; gone: AbortSignal },
): Promise<void> {
  const answer: PushAnswer = {
    gone,
    async line(text) {
      if (gone.aborted || !hook.lines.writable) return
      if (!hook.lines.write(`${sanitizeLine(text)}\n`)) await drained(hook.lines, gone)
    },
    undecided() {
      hook.lastWords = 'undecided'
    },
    report(reports) {
      if (!hook.talk.writable) return
      hook.lastWords = 'kept'
      hook.talk.write(Buffer.concat([...reports.map((report) => encodePkt(reportLine(report))), flushPkt]))
    },
  }
  try {
    await deps.receive(push, request, answer)
  } catch (error) {
    deps.logger.error('receiving a push ended in an error', { app: push.app, error })
  } finally {
    hook.leave()
    await deps.settle(push)
  }
}

function reportLine({ ref, refused }: RefReport): Buffer {
  const name = Buffer.from(ref, 'latin1')
  if (refused === null) return Buffer.concat([Buffer.from('ok '), name, Buffer.from('\n')])
  const reason = sanitizeLine(refused).slice(0, 500)
  return Buffer.concat([Buffer.from('ng '), name, Buffer.from(` ${reason}\n`)])
}

/** Waits until the hook has read what it was given, or is gone. */
function drained(lines: Writable, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      lines.off('drain', done)
      gone.removeEventListener('abort', done)
      resolve()
    }
    if (gone.aborted) return resolve()
    lines.on('drain', done)
    gone.addEventListener('abort', done, { once: true })
  })
}
