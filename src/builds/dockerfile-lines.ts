import { SlipwayError } from '../kernel/errors.ts'

/*
 * A Dockerfile's text as instructions, each on one line. The engine never gets the text itself but what is written anew
 * from these, so that it cannot read anything that was not seen here.
 */

export interface Instruction {
  /** From 1, in the file as it stands in the commit. */
  readonly line: number
  /** In capitals. */
  readonly keyword: string
  /** Everything behind the keyword, continuation lines joined, comments gone. */
  readonly rest: string
}

export interface DockerfileLines {
  readonly escape: '\\' | '`'
  /** The image that a `# syntax=` line names. */
  readonly syntax: string | null
  readonly instructions: readonly Instruction[]
  /** Line of the first here-document, where reading stops: only BuildKit knows them. */
  readonly hereDocumentAt: number | null
}

const keywords = new Set(
  'ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR'.split(
    ' ',
  ),
)

/** Versions of the engine read no longer lines. */
const longestInstruction = 60 * 1024
/** An image has 127 layers at most; each image that is named is asked of the engine. */
const mostInstructions = 1000

// As words that begin with <<; `<<<` is a shell's own.
const hereDocument = /(?:^|\s)\d*<<-?["']?[A-Za-z0-9_.]/

export function readDockerfileLines(text: string): DockerfileLines {
  const lines = text
    .replace(/^\ufeff/, '')
    .split('\n')
    .map((line) => line.replace(/\r$/, ''))
  refuseControlCharacters(lines)
  const { escape, syntax } = readDirectives(lines)
  const instructions: Instruction[] = []
  for (let i = 0; i < lines.length; ) {
    const { text: joined, next } = joinLines(lines, i, escape)
    if (joined !== '') {
      const instruction = readInstruction(joined, i + 1)
      instructions.push(instruction)
      if (instructions.length > mostInstructions)
        throw dockerfileError(i + 1, `there are more than ${mostInstructions} instructions`)
      if (/^(?:RUN|COPY|ADD|ONBUILD)$/.test(instruction.keyword) && hereDocument.test(instruction.rest)) {
        return { escape, syntax, instructions, hereDocumentAt: i + 1 }
      }
    }
    i = next
  }
  return { escape, syntax, instructions, hereDocumentAt: null }
}

/** `# escape=` and `# syntax=` count only at the very top. */
function readDirectives(lines: readonly string[]): { escape: '\\' | '`'; syntax: string | null } {
  let escape: '\\' | '`' = '\\'
  let syntax: string | null = null
  for (const [i, line] of lines.entries()) {
    const [, name = '', given = ''] = /^#[ \t]*([A-Za-z][A-Za-z0-9]*)[ \t]*=(.*)$/.exec(line) ?? []
    const value = trimBlanks(given)
    if (name === '' || given === '') break
    if (name.toLowerCase() === 'syntax') syntax ??= value
    if (name.toLowerCase() === 'escape') {
      if (value !== '\\' && value !== '`') throw dockerfileError(i + 1, 'escape must be \\ or `')
      escape = value
    }
  }
  return { escape, syntax }
}

/** Joins the lines of the instruction that begins at `start`; '' for a comment or an empty line. */
function joinLines(lines: readonly string[], start: number, escape: string): { text: string; next: number } {
  let text = ''
  let i = start
  for (; i < lines.length; i++) {
    const line = lines[i] ?? ''
    if (isComment(line) || line.trim() === '') {
      // Inside an instruction both are skipped; before it they are nothing.
      if (i === start) return { text: '', next: i + 1 }
      continue
    }
    const ended = trimEnd(line, ' \t')
    if (!ended.endsWith(escape)) return { text: trimBlanks(text + line), next: i + 1 }
    if (ended.endsWith(escape + escape)) {
      throw dockerfileError(
        i + 1,
        `a line must not end in ${escape}${escape}: versions of Docker differ in what it means`,
      )
    }
    text += ended.slice(0, -1)
  }
  // The file ends in a continuation. What was written anew must not continue on the next line.
  return { text: trimEnd(trimBlanks(text), '\\` \t'), next: i }
}

/** Only these two: to the engine other spaces are part of the text. */
const trimBlanks = (text: string): string => trimEnd(text.replace(/^[ \t]+/, ''), ' \t')

/** By hand: a regular expression that looks for blanks before an end takes minutes for a line of a million blanks. */
function trimEnd(text: string, characters: string): string {
  let end = text.length
  while (end > 0 && characters.includes(text.charAt(end - 1))) end -= 1
  return text.slice(0, end)
}

const isComment = (line: string): boolean => /^\s*#/.test(line)

export function readInstruction(text: string, line: number): Instruction {
  const [, word = '', rest = ''] = /^([^ \t]+)[ \t]*([^]*)$/.exec(text) ?? []
  const keyword = word.toUpperCase()
  if (!keywords.has(keyword)) throw dockerfileError(line, `unknown instruction ${word.slice(0, 40)}`)
  if (rest === '') throw dockerfileError(line, `${keyword} needs an argument`)
  if (Buffer.byteLength(rest) > longestInstruction) throw dockerfileError(line, `${keyword} is longer than 60 KiB`)
  return { line, keyword, rest }
}

/** Go's and JavaScript's ideas of white space differ in these; no Dockerfile needs them. */
export function hasControlCharacter(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what it looks for
  return /[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/.test(text)
}

function refuseControlCharacters(lines: readonly string[]): void {
  for (const [i, line] of lines.entries()) {
    if (hasControlCharacter(line) && !isComment(line)) throw dockerfileError(i + 1, 'there is a control character')
  }
}

export function dockerfileError(line: number, text: string, hint?: string): SlipwayError {
  return new SlipwayError('build_failed', `The Dockerfile cannot be used: line ${line}: ${text}.`, {
    hint: hint ?? 'Correct the Dockerfile and push again.',
  })
}
