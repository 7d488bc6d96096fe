import { parseRefUpdate, PktReader, type RefUpdate, textOf, tooManyUpdates } from '../../git/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'

/** The beginning of a push: which refs, and what the client can do. */
export interface PushHead {
  readonly updates: readonly RefUpdate[]
  readonly abilities: ReadonlySet<string>
  /** Everything that was read to find out; git needs it too. */
  readonly bytes: Buffer
}

const longestHead = 2 * 1024 * 1024

/**
 * Reads up to the first flush. null: the four bytes with which clients try the way before a large push. Throws `bad_request`
 * on what no Git client sends, `too_large` when it does not end.
 */
export async function readPushHead(body: AsyncGenerator<Buffer, void>): Promise<PushHead | null> {
  const reader = new PktReader()
  const chunks: Buffer[] = []
  const lines: string[] = []
  let bytes = 0
  for (;;) {
    const next = await body.next()
    if (next.done === true) throw malformed()
    chunks.push(next.value)
    bytes += next.value.length
    for (const pkt of reader.read(next.value)) {
      if (pkt.kind === 'flush') return lines.length === 0 ? null : { ...parseHead(lines), bytes: Buffer.concat(chunks) }
      lines.push(textOf(pkt.data))
    }
    if (bytes > longestHead) throw tooManyUpdates()
  }
}

/** `shallow <id>` lines, then `<old> <new> <ref>`, the first with the abilities behind a NUL. */
function parseHead(lines: readonly string[]): Omit<PushHead, 'bytes'> {
  const commands = lines.filter((line) => !/^shallow [0-9a-f]{40}$/.test(line))
  const [first = '', ...others] = commands
  const [command = '', abilities = ''] = first.split('\0')
  if (commands.length === 0) throw malformed()
  const updates = [command, ...others].map(parseRefUpdate)
  return { updates, abilities: new Set(abilities.split(' ')) }
}

function malformed(): SlipwayError {
  return new SlipwayError('bad_request', 'This is not a push as a Git client sends it.')
}
