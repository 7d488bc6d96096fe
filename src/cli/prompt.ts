import { exits, Failure } from './failure.ts'

/** Reads a token without showing it; from a pipe, its first line. */
export async function askSecret(question: string): Promise<string> {
  if (!process.stdin.isTTY) return readFirstLine()
  process.stderr.write(question)
  process.stdin.setRawMode(true)
  try {
    return await readHidden()
  } finally {
    process.stdin.setRawMode(false)
    process.stdin.pause()
    process.stderr.write('\n')
  }
}

/** Asks yes or no; `yes` is the answer to Enter, and where nobody can be asked. */
export async function confirm(question: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return true
  const { createInterface } = await import('node:readline/promises')
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return !/^n/i.test((await lines.question(`${question} [Y/n] `)).trim())
  } finally {
    lines.close()
  }
}

async function readHidden(): Promise<string> {
  let typed = ''
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    for (const char of chunk.toString('utf8')) {
      if (char === '\r' || char === '\n' || char === '\u0004') return typed
      if (char === '\u0003') throw new Failure(exits.detached, 'Nothing was changed.')
      if (char === '\u007f' || char === '\b') typed = typed.slice(0, -1)
      else if (char >= ' ') typed += char
    }
  }
  return typed
}

async function readFirstLine(): Promise<string> {
  let text = ''
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    text += chunk.toString('utf8')
    if (text.includes('\n') || text.length > 4_096) break
  }
  return (text.split('\n', 1)[0] ?? '').trim()
}
