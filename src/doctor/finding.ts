/** What was found of one thing that Slipway depends on. Nothing secret stands in it: it is shown to whoever may ask. */
export interface Finding {
  /** A word for what was looked at, such as `disk`. */
  readonly check: string
  readonly status: 'ok' | 'warn' | 'fail'
  /** What is the case, with figures. */
  readonly what: string
  /** Why it matters. */
  readonly why: string
  /** What to do about it; null when all is well. */
  readonly mend: string | null
}

/** The same subject, good or bad. */
export interface Subject {
  readonly check: string
  readonly why: string
}

export const isOk = ({ check, why }: Subject, what: string): Finding => ({ check, status: 'ok', what, why, mend: null })

export const isBad = (
  { check, why }: Subject,
  status: 'warn' | 'fail',
  { what, mend }: { what: string; mend: string },
): Finding => ({ check, status, what, why, mend })
