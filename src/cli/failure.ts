/** Exit codes are part of the interface: scripts decide by them. */
export const exits = {
  done: 0,
  failed: 1,
  wrongUse: 2,
  notAllowed: 3,
  notFound: 4,
  conflict: 5,
  unreachable: 6,
  /** Ctrl-C while following, as shells count it: not done, not failed. */
  detached: 130,
  /** Whoever read our output closed it, as shells count it. */
  brokenPipe: 141,
} as const

/** What ends a verb early, told to the person: what happened, and what to do next. */
export class Failure extends Error {
  readonly exit: number
  readonly hint: string | undefined

  constructor(exit: number, message: string, hint?: string) {
    super(message)
    this.exit = exit
    this.hint = hint
  }
}

/** What the server itself said is wrong. */
export class Problem extends Failure {
  readonly code: unknown

  constructor(code: unknown, message: string, hint?: string) {
    super(exitOfProblem(code), message, hint)
    this.code = code
  }
}

/** The exit code for a problem that the server named. */
export function exitOfProblem(code: unknown): number {
  switch (code) {
    case 'bad_request':
    case 'config_invalid':
    case 'too_large':
    case 'method_not_allowed':
    case 'unsupported_media_type':
      return exits.wrongUse
    case 'not_signed_in':
    case 'not_allowed':
      return exits.notAllowed
    case 'not_found':
      return exits.notFound
    case 'conflict':
      return exits.conflict
    default:
      return exits.failed
  }
}
