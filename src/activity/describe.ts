import { SlipwayError } from '../kernel/errors.ts'
import { quote } from '../kernel/names.ts'
import { shortCommit } from '../kernel/short-commit.ts'

/** What is told of an event. */
export interface Told {
  readonly kind: string
  readonly environment: string | null
  readonly deployId: number | null
  readonly data: Readonly<Record<string, unknown>>
}

/**
 * What happened, in words: without who and when, without an end. An event that nobody has described yet is told by its kind;
 * a test asks for a sentence for each that the code writes.
 */
export function describeEvent(event: Told): string {
  return sentences[event.kind]?.(event) ?? event.kind
}

type Sentence = (event: Told) => string

const deploy = ({ deployId }: Told): string => (deployId === null ? 'a deploy' : `deploy ${deployId}`)
const to = ({ environment }: Told): string => (environment === null ? '' : ` to ${environment}`)
const text = (value: unknown): string => (typeof value === 'string' || typeof value === 'number' ? String(value) : '')
const short = (value: unknown): string => shortCommit(text(value))
const instance = ({ data }: Told): string => {
  const process = text(data['process']) || 'web'
  return `instance ${process}.${text(data['position'])} of v${text(data['release'])}`
}
const away = ({ data }: Told): string => {
  const seconds = typeof data['seconds'] === 'number' ? data['seconds'] : 0
  if (seconds < 120) return `, after ${seconds} s`
  return seconds < 7_200 ? `, after ${Math.round(seconds / 60)} min` : `, after ${Math.round(seconds / 3_600)} h`
}
const ended = ({ data }: Told): string => {
  if (data['outOfMemory'] === true) return ' for lack of memory'
  return typeof data['exitCode'] === 'number' ? ` with exit code ${data['exitCode']}` : ''
}

const release = ({ environment, data }: Told): string =>
  `v${text(data['release'])}${environment === null ? '' : ` of ${environment}`}`

const asked: Readonly<Record<string, string>> = {
  promotion: 'asked for the promotion',
  rollback: 'asked for the rollback',
  start: 'asked for the start',
  restart: 'asked for a restart',
  scale: 'asked for other numbers of instances, at once,',
}

export const sentences: Readonly<Record<string, Sentence>> = {
  'app.created': ({ data }) => `made the app with ${list(data['environments'])}`,
  'app.changed': ({ data }) => `changed the app: ${listChange(data)}`,
  'environment.added': ({ environment, data }) => {
    const from = text(data['from'])
    return `added the environment ${environment ?? text(data['environment'])}${from === '' ? '' : `, based on ${from}`}`
  },
  'environment.changed': ({ environment, data }) =>
    `changed ${environment ?? text(data['environment'])}: ${listChange(data)}`,
  'environment.scaled': ({ environment, data }) =>
    `scaled ${environment ?? text(data['environment'])}${data['now'] === true ? '' : ' (from the next deploy on)'}: ${listChange(data, 'default')}`,
  'app.removing': ({ data }) => `began to remove the app ${text(data['app'])}`,
  'app.removed': ({ data }) => `removed the app ${text(data['app'])}`,
  'environment.locked': ({ data }) => {
    const how = [
      ...(data['waits'] === true ? ['deploys wait'] : []),
      ...(data['allowsRollbacks'] === true ? ['rollbacks pass'] : []),
    ].join(', ')
    return `locked the environment ${text(data['environment'])}${how === '' ? '' : ` (${how})`}: “${text(data['reason'])}”`
  },
  'environment.unlocked': ({ data }) =>
    `unlocked the environment ${text(data['environment'])}, which ${text(data['lockedBy'])} had locked: “${text(data['reason'])}”`,
  'environment.maintenance-begun': ({ data }) => {
    const message = text(data['message'])
    const allow = list(data['allow'])
    const told = `${message === '' ? '' : `: “${message}”`}${allow === '' ? '' : ` (seen from ${allow})`}`
    return `put the maintenance page before ${text(data['environment'])}${told}`
  },
  'environment.maintenance-ended': ({ data }) => `took the maintenance page from ${text(data['environment'])} away`,
  'environment.stopped': ({ data }) => `stopped the environment ${text(data['environment'])}`,
  'environment.removing': ({ data }) => `began to remove the environment ${text(data['environment'])}`,
  'environment.removed': ({ data }) => `removed the environment ${text(data['environment'])}`,
  'vars.changed': ({ environment, data }) => {
    const done = ['set', 'unset'].filter((what) => list(data[what]) !== '').map((what) => `${what} ${list(data[what])}`)
    return `changed variables of ${environment ?? 'an environment'}: ${done.join('; ')}`
  },
  'vars.revoked': ({ environment, data }) => {
    const where = `${environment ?? 'an environment'} and ${counted(data['releases'], 'release')} of it`
    return `revoked a value of ${text(data['name'])}: ${data['removed'] === true ? 'removed from' : 'replaced in'} ${where}`
  },
  'protection.changed': ({ environment, data }) => {
    const done = [
      ...(data['opened'] === true ? ['let everybody in'] : []),
      ...['setUser', 'removeUser']
        .filter((what) => text(data[what]) !== '')
        .map((what) => `${protects[what]} ${text(data[what])}`),
      ...['allow', 'disallow']
        .filter((what) => list(data[what]) !== '')
        .map((what) => `${protects[what]} ${list(data[what])}`),
      ...(typeof data['onlyReleases'] === 'boolean' ? [`only release addresses: ${String(data['onlyReleases'])}`] : []),
    ]
    const limits = isRecord(data['limits'])
      ? [`the limits of ${environment ?? 'an environment'}: ${listLimits(data['limits'])}`]
      : []
    const protection =
      done.length === 0 ? [] : [`the protection of ${environment ?? 'an environment'}: ${done.join('; ')}`]
    return `changed ${[...protection, ...limits].join(', and ')}`
  },
  'vars.key-changed': () => 'changed the key that variables are sealed with',
  'push.received': ({ data }) => `pushed ${listUpdates(data['updates'])}`,
  'push.rejected': ({ data }) => `pushed ${listUpdates(data['updates'])}, which was rejected: ${text(data['reason'])}`,
  'deploy.queued': (event) => {
    const { data } = event
    const origin = describeOrigin(event)
    if (origin !== null) return `${origin}: ${deploy(event)}`
    const branch = text(data['branch'])
    const what = `${short(data['commit'])}${branch === '' ? '' : ` (${branch})`}`
    return `${asked[text(data['kind'])] ?? 'asked for the deploy'} of ${what}${to(event)}: ${deploy(event)}`
  },
  'deploy.live': (event) => `${deploy(event)} is live: v${text(event.data['release'])} serves`,
  'deploy.not-reverted': (event) =>
    `${deploy(event)} does harm, and nothing is warm any more to go back to: ${text(event.data['message'])}`,
  'deploy.reverted': (event) => `${deploy(event)} was gone back from by itself: ${text(event.data['message'])}`,
  'deploy.failed': (event) => `${deploy(event)} failed: ${text(event.data['message'])}`,
  'deploy.cancel-asked': (event) => `asked ${deploy(event)} to end`,
  'deploy.cancelled': (event) => `${deploy(event)} was cancelled`,
  'deploy.superseded': (event) => `${deploy(event)} was replaced by a newer one`,
  'release.pinned': (event) => `pinned ${release(event)}: its image is kept`,
  'release.unpinned': (event) => `unpinned ${release(event)}`,
  'image.removed': ({ data }) => {
    const releases = list(data['releases'])
    return `gave up the image of build ${text(data['build'])}${releases === '' ? '' : ` (${releases})`}`
  },
  'cron.failed': ({ data }) => {
    const often = data['failures'] === 1 ? '' : `, ${text(data['failures'])} times in a row`
    return `the job ${text(data['label'])} failed${often}: ${text(data['message'])}`
  },
  'cron.recovered': ({ data }) =>
    `the job ${text(data['label'])} succeeds again, after ${counted(data['failures'], 'failure')}`,
  'cron.missed': ({ data }) =>
    `missed ${counted(data['count'], 'run')} of the job ${text(data['label'])} while Slipway was away${data['madeUp'] === true ? '; the last one is made up for' : ''}`,
  'run.started': ({ environment, data }) =>
    `ran ${text(data['command'])}${environment === null ? '' : ` in ${environment}`}`,
  'run.ended': ({ data, ...event }) => {
    const how = typeof data['exitCode'] === 'number' ? ended({ data, ...event }) : ' before it was done'
    return `${text(data['command'])}${event.environment === null ? '' : ` in ${event.environment}`} ended${how}`
  },
  'release.woken': ({ data }) => `woke v${text(data['release'])}: somebody asked for it at its own address`,
  'release.wake-failed': ({ data }) => `could not wake v${text(data['release'])}: ${text(data['error'])}`,
  'server.started': ({ data }) =>
    `started, as ${text(data['version'])}${data['untold'] === true ? ', after it had ended without being told to' : ''}`,
  'server.stopped': () => 'stopped',
  'server.database-back': (event) => `has its database back${away(event)}`,
  'server.engine-back': (event) => `has its Docker engine back${away(event)}`,
  'server.proxy-back': (event) => `has its proxy back${away(event)}`,
  'instance.died': (event) => `${instance(event)} ended${ended(event)}`,
  'instance.started': (event) => `${instance(event)} is up`,
  'instance.restarted': (event) => `${instance(event)} is up again`,
  'instance.crash-loop': (event) => `${instance(event)} ends again and again${ended(event)}`,
  'instance.recovered': (event) => `${instance(event)} has stayed up`,
}

/**
 * The kinds that are meant: `deploy` stands for all about deploys, `deploy.failed` for one kind. Throws `bad_request` for one that
 * no entry can have, and names those that there are.
 */
export function kindsOf(asked: string): readonly string[] {
  const kinds = Object.keys(sentences)
  const [group = ''] = asked.split('.', 1)
  const ofGroup = kinds.filter((kind) => kind.startsWith(`${group}.`))
  if (kinds.includes(asked)) return [asked]
  if (asked === group && ofGroup.length > 0) return ofGroup
  const groups = [...new Set(kinds.map((kind) => kind.split('.', 1)[0]))]
  throw new SlipwayError('bad_request', `Nothing that is done is of the kind ${quote(asked)}.`, {
    hint:
      ofGroup.length > 0
        ? `Of ${group} there are: ${ofGroup.join(', ')}`
        : `There are: ${groups.join(', ')}; or one alone, such as deploy.failed`,
  })
}

/** Of a deploy that takes the image of a release. */
function describeOrigin({ environment, data }: Told): string | null {
  const from = isRecord(data['from']) ? data['from'] : {}
  const [release, source] = [text(from['release']), text(from['environment'])]
  if (release === '' || environment === null) return null
  if (data['kind'] === 'promotion') return `asked for the promotion of ${source} v${release} to ${environment}`
  if (data['kind'] !== 'rollback') return null
  return `asked for the rollback of ${environment} to v${release}${data['holds'] === true ? ', which holds pushes' : ''}`
}

const protects: Readonly<Record<string, string>> = {
  setUser: 'a password for',
  removeUser: 'removed',
  allow: 'let in',
  disallow: 'lets in no longer',
}

const counted = (value: unknown, what: string): string => `${text(value)} ${what}${value === 1 ? '' : 's'}`

const list = (value: unknown): string => (Array.isArray(value) ? value.map(text).join(', ') : '')

/** `requests: 50, visitorRate: none` */
function listLimits(limits: Readonly<Record<string, unknown>>): string {
  return Object.entries(limits)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${value === null ? 'none' : text(value)}`)
    .join(', ')
}

/** `branch: main → develop, deployOnPush: false → true` */
function listChange({ change, before }: Told['data'], nothing = 'none'): string {
  const old = isRecord(before) ? before : {}
  const shown = (value: unknown): string => (value === null || value === undefined ? nothing : JSON.stringify(value))
  return Object.entries(isRecord(change) ? change : {})
    .filter(([name, value]) => value !== undefined && value !== old[name])
    .map(([name, value]) => `${name}: ${shown(old[name])} → ${shown(value)}`.replaceAll('"', ''))
    .join(', ')
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

interface Update {
  readonly ref?: unknown
  readonly old?: unknown
  readonly new?: unknown
}

function listUpdates(updates: unknown): string {
  const list = Array.isArray(updates) ? (updates as Update[]) : []
  const shown = list.slice(0, 3).map(({ ref, new: to }) => {
    const name = text(ref).replace(/^refs\/(?:heads|tags)\//, '')
    return /^0+$/.test(text(to)) ? `${name} away` : `${name} (${short(to)})`
  })
  return `${shown.join(', ')}${list.length > 3 ? ` and ${list.length - 3} more` : ''}`
}
