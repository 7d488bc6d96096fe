/**
 * What can go wrong, in the words of this product. `http/errors.ts` maps each code to a status and the command line
 * maps it to an exit code; nothing else decides by message.
 */
export type ErrorCode =
  | 'bad_request'
  | 'not_signed_in'
  | 'not_allowed'
  | 'not_found'
  | 'conflict'
  | 'too_large'
  | 'unavailable' // something Slipway needs (engine, database, proxy, disk, memory) does not answer or has no room
  | 'timeout'
  | 'cancelled'
  | 'superseded'
  | 'config_invalid'
  | 'build_failed'
  | 'command_failed'
  | 'start_failed'
  | 'check_failed'
  | 'internal'

export interface ErrorOptions {
  /** What the reader can do next. One sentence or two. */
  readonly hint?: string
  /** Lines that show what happened: the last log lines, the probe's answers. Foreign text; sanitised where printed. */
  readonly evidence?: readonly string[]
  readonly cause?: unknown
}

/** An error that is meant to be read: what happened, why, and what to do next. */
export class SlipwayError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly evidence: readonly string[]

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'SlipwayError'
    this.code = code
    this.hint = options.hint
    this.evidence = options.evidence ?? []
  }
}

/** Turns anything thrown into a `SlipwayError`; unknown ones become `internal` and keep their cause. */
export function asSlipwayError(thrown: unknown): SlipwayError {
  if (thrown instanceof SlipwayError) return thrown
  if (thrown instanceof Error && thrown.name === 'AbortError') {
    return thrown.cause instanceof SlipwayError
      ? thrown.cause
      : new SlipwayError('cancelled', 'It was cancelled.', { cause: thrown })
  }
  return new SlipwayError('internal', 'Something went wrong inside Slipway.', {
    hint: 'The server’s log has the details.',
    cause: thrown,
  })
}

/** What Slipway needs (engine, database, proxy) does not answer: the same may well be done later. */
export function isAway(error: unknown): boolean {
  return error instanceof SlipwayError && (error.code === 'unavailable' || error.code === 'timeout')
}
