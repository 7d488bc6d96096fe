import { SlipwayError } from '../kernel/errors.ts'
import { PktReader, textOf } from './pkt-line.ts'
import { longestPushOption, mostPushOptions } from './push-options.ts'

/** One ref that a client wants to create, move or delete. */
export interface RefUpdate {
  /** Full name; bytes as latin1. */
  readonly ref: string
  /** The zero id: it must not exist. */
  readonly old: string
  /** The zero id: delete it. */
  readonly new: string
}

export interface PushRequest {
  readonly updates: readonly RefUpdate[]
  /** Push options as they came, bytes as latin1. */
  readonly options: readonly string[]
  /** All or nothing was asked for. */
  readonly atomic: boolean
}

export const mostUpdates = 2_000

/** `old new ref`, as the client and the hook send it. */
export function parseRefUpdate(line: string): RefUpdate {
  const found = /^([0-9a-f]{40}) ([0-9a-f]{40}) ([^\0\n]{1,1024})$/.exec(line)
  if (found === null) throw malformed()
  return { old: found[1] as string, new: found[2] as string, ref: found[3] as string }
}

export interface HookConversation {
  /** Takes what the hook sent on. Throws `bad_request` on anything that git would not send. */
  write(chunk: Buffer): void
}

/**
 * Reads what git tells its proc-receive hook (githooks(5)): its version and abilities, flush, the refs, flush, and the push
 * options and a flush when they were agreed on.
 */
export function readHookConversation(on: {
  hello: (abilities: readonly string[]) => void
  request: (request: PushRequest) => void
}): HookConversation {
  const reader = new PktReader()
  let stage: 'hello' | 'updates' | 'options' | 'over' = 'hello'
  let abilities: readonly string[] | null = null
  const updates: RefUpdate[] = []
  const options: string[] = []

  const finish = (): void => {
    stage = 'over'
    on.request({ updates, options, atomic: abilities?.includes('atomic') ?? false })
  }
  const onFlush = (): void => {
    if (stage === 'hello') {
      if (abilities === null) throw malformed()
      stage = 'updates'
      on.hello(abilities)
    } else if (stage === 'updates') {
      if (updates.length === 0) throw malformed()
      if (abilities?.includes('push-options') === true) stage = 'options'
      else finish()
    } else if (stage === 'options') finish()
    else throw malformed()
  }
  const onLine = (line: string): void => {
    if (stage === 'hello' && abilities === null) abilities = parseHello(line)
    else if (stage === 'updates') {
      if (updates.length === mostUpdates) throw tooManyUpdates()
      updates.push(parseRefUpdate(line))
    } else if (stage === 'options') keepOption(line)
    else throw malformed()
  }
  // Of what is too long or too many only so much is kept as shows it: it is refused in words, not here.
  const keepOption = (line: string): void => {
    if (options.length <= mostPushOptions) options.push(line.slice(0, longestPushOption + 1))
  }
  return {
    write(chunk) {
      for (const pkt of reader.read(chunk)) {
        if (pkt.kind === 'flush') onFlush()
        else onLine(textOf(pkt.data))
      }
    },
  }
}

function parseHello(line: string): readonly string[] {
  const [version, abilities = ''] = line.split('\0')
  if (version !== 'version=1') throw malformed()
  return abilities.split(' ').filter((ability) => ability !== '')
}

export function tooManyUpdates(): SlipwayError {
  return new SlipwayError(
    'too_large',
    `One push may move at most ${mostUpdates.toLocaleString('en')} branches and tags.`,
    {
      hint: 'Push them in several steps.',
    },
  )
}

function malformed(): SlipwayError {
  return new SlipwayError('bad_request', 'This is not what Git sends to its hook.')
}
