import { exits, Failure } from './failure.ts'

const mostInputBytes = 4 * 1024 * 1024

/** Reads a token without showing it; from a pipe, its first line. */
export async function askSecret(question: string): Promise<string> {
  if (!process.stdin.isTTY) return readFirstLine()
  // Before the question: what is pasted at once must not be shown either.
  process.stdin.setRawMode(true)
  process.stderr.write(question)
  try {
    return await readHidden()
  } finally {
    process.stdin.setRawMode(false)
    process.stdin.pause()
    process.stderr.write('\n')
  }
}

/** Somebody sits at both ends. */
export const canAsk = (): boolean => process.stdin.isTTY && process.stderr.isTTY

/** Asks yes or no; `yes` is the answer to Enter, and where nobody can be asked. */
export async function confirm(question: string): Promise<boolean> {
  if (!canAsk()) return true
  const { createInterface } = await import('node:readline/promises')
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  // Ctrl-C and Ctrl-D close it, and the question alone would wait for ever.
  const left = new Promise<string>((resolve) => lines.once('close', () => resolve('no')))
  try {
    const answer = await Promise.race([lines.question(`${question} [Y/n] `), left])
    return !/^n/i.test(answer.trim())
  } finally {
    lines.close()
  }
}

/** Asks for the name of what is to be removed; where nobody can be asked, it must have been said with --yes. */
export async function confirmByName(name: string, what: string): Promise<void> {
  if (!canAsk()) {
    throw new Failure(exits.wrongUse, `Nothing was removed: nobody can be asked here.`, 'If you are sure: --yes')
  }
  const { createInterface } = await import('node:readline/promises')
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  const left = new Promise<string>((resolve) => lines.once('close', () => resolve('')))
  try {
    process.stderr.write(`${what}\n`)
    const answer = await Promise.race([lines.question(`Type ${name} to remove it: `), left])
    if (answer.trim() === name) return
    throw new Failure(exits.failed, 'Nothing was removed: that was another name.')
  } finally {
    lines.close()
  }
}

/**
 * By events: `for await` would destroy standard input at its end, and the next question could not be asked. What comes behind the
 * line end is the answer to that one.
 */
function readHidden(): Promise<string> {
  const { stdin } = process
  return new Promise((resolve, reject) => {
    let typed = ''
    const finish = (settle: () => void): void => {
      stdin.off('data', take).off('end', end)
      settle()
    }
    const end = (): void => finish(() => resolve(typed))
    const take = (chunk: Buffer): void => {
      let at = 0
      for (const char of chunk.toString('utf8')) {
        at += Buffer.byteLength(char)
        if (char === '\r' || char === '\n' || char === '\u0004') {
          end()
          // Paused before it is given back: else it would flow to nobody.
          stdin.pause()
          if (at < chunk.length) stdin.unshift(chunk.subarray(at))
          return
        }
        if (char === '\u0003') return finish(() => reject(new Failure(exits.detached, 'Nothing was changed.')))
        if (char === '\u007f' || char === '\b') typed = typed.slice(0, -1)
        else if (char >= ' ') typed += char
      }
    }
    stdin.on('data', take).once('end', end)
    // Paused by an earlier question, it would stay silent, and the program end in the middle of this one.
    stdin.resume()
  })
}

async function readFirstLine(): Promise<string> {
  let text = ''
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    text += chunk.toString('utf8')
    if (text.includes('\n') || text.length > 4_096) break
  }
  return (text.split('\n', 1)[0] ?? '').trim()
}

/** Standard input to its end, byte for byte. */
export async function readAllOfStdin(): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    size += chunk.length
    // More than all variables of an environment may have: it is refused whatever else comes.
    if (size > mostInputBytes) break
  }
  return Buffer.concat(chunks)
}
