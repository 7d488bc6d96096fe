import { dirname } from 'node:path'

export interface GitSettings {
  /** Folder of the hooks: `hooks/` of this package, or the copy that the installer made. */
  readonly hooksDir: string
  readonly maxPushBytes: number
}

/**
 * What every git child is told, on advertising as on receiving: settings that stand in one of the two only are half in
 * force. They come by environment, so no repository's own file, no user's and no system's can say otherwise.
 */
function settingsOf({ hooksDir, maxPushBytes }: GitSettings): readonly (readonly [string, string])[] {
  return [
    ['core.hooksPath', hooksDir],
    // Over 1 MB nothing is held in memory as a whole: a 0.4 MB pack with a 400 MB blob took 404 MB without it, 13 with.
    ['core.bigFileThreshold', '1m'],
    ['core.fsync', 'committed,loose-object'],
    ['core.fsyncMethod', 'batch'],
    ['core.filesRefLockTimeout', '2000'],
    ['core.packedRefsTimeout', '5000'],
    ['pack.threads', '1'],
    ['pack.windowMemory', '64m'],
    ['gc.auto', '0'],
    ['protocol.allow', 'never'],
    ['transfer.hideRefs', 'refs/slipway'],
    ['transfer.fsckObjects', 'true'],
    ...harmlessFaults.map((fault) => [`receive.fsck.${fault}`, 'warn'] as const),
    // Every ref goes through the one hook; it moves the refs itself.
    ['receive.procReceiveRefs', 'refs'],
    ['receive.advertisePushOptions', 'true'],
    ['receive.autogc', 'false'],
    ['receive.keepAlive', '5'],
    // The stream is cut a little earlier, with a message in words; this holds if that ever fails.
    ['receive.maxInputSize', String(maxPushBytes + 1024 * 1024)],
    ['uploadpack.allowFilter', 'true'],
  ]
}

/** Faults of old tools that stand in many histories and do no harm. What hides files or lies about names is refused. */
const harmlessFaults = [
  'badDate',
  'badDateOverflow',
  'badEmail',
  'badName',
  'badTimezone',
  'missingEmail',
  'missingNameBeforeEmail',
  'missingSpaceBeforeDate',
  'missingSpaceBeforeEmail',
  'multipleAuthors',
  'zeroPaddedDate',
  'zeroPaddedFilemode',
  'badTagName',
  'missingTaggerEntry',
] as const

/** The whole environment of a git child; nothing of Slipway's own passes. */
export function makeGitEnvironment(settings: GitSettings): Readonly<Record<string, string>> {
  const pairs = settingsOf(settings)
  return {
    ...plainEnvironment,
    GIT_CONFIG_COUNT: String(pairs.length),
    ...Object.fromEntries(
      pairs.flatMap(([key, value], i) => [
        [`GIT_CONFIG_KEY_${i}`, key],
        [`GIT_CONFIG_VALUE_${i}`, value],
      ]),
    ),
  }
}

/** The hook starts with `env node`: the Node that runs Slipway comes first. */
export const plainEnvironment: Readonly<Record<string, string>> = {
  PATH: [dirname(process.execPath), '/usr/local/bin', '/usr/bin', '/bin'].join(':'),
  HOME: '/nonexistent',
  LC_ALL: 'C.UTF-8',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  GIT_NO_REPLACE_OBJECTS: '1',
  GIT_LITERAL_PATHSPECS: '1',
}
