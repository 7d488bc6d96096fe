/** Of what somebody else may change, too. */
export interface VersionOptions {
  readonly ifVersion?: string
}

export const ifVersionOption = [
  '--if-version <n>',
  'only if nobody has changed it since this version (see envs list --json)',
] as const

export function ifMatch({ ifVersion }: VersionOptions): Record<string, string> {
  return ifVersion === undefined ? {} : { 'if-match': `"${ifVersion}"` }
}
