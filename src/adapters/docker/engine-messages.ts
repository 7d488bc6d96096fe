/** One JSON message of the engine's progress streams, as far as anybody here reads it. */
export interface EngineMessage {
  /** Output of a build. */
  readonly stream?: string
  readonly status?: string
  readonly id?: string
  readonly progressDetail?: { readonly current?: number; readonly total?: number }
  /** A failure comes in the stream, after the answer's status has already said 200. */
  readonly error?: string
  readonly errorDetail?: { readonly code?: number; readonly message?: string }
  readonly aux?: { readonly ID?: string }
}

/** Longer than any message of an engine: it cuts output in pieces of 32 KiB. */
const longestMessage = 4 * 1024 * 1024

export async function* readMessages(stream: NodeJS.ReadableStream): AsyncGenerator<EngineMessage> {
  const decoder = new TextDecoder('utf-8')
  let rest = ''
  for await (const chunk of stream) {
    rest += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true })
    if (rest.length > longestMessage) throw new Error('The engine sent a message without an end.')
    const lines = rest.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line.trim() !== '') yield JSON.parse(line) as EngineMessage
    }
  }
  if (rest.trim() !== '') yield JSON.parse(rest) as EngineMessage
}
