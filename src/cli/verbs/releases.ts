import type { Command } from 'commander'
import { shortCommit } from '../../kernel/short-commit.ts'
import type { QueuedDeploy, Release, ReleaseComparison, ReleaseDetails } from '../api-types.ts'
import { describeReason, describeRelease } from '../describe-release.ts'
import { ago, type Output } from '../output.ts'
import { printDifferences } from '../print-differences.ts'
import { readPlace, readRelease } from '../release-words.ts'
import {
  chooseEnvironment,
  type CommonOptions,
  environmentPath,
  type Run,
  type Session,
  withEnvironment,
  withExample,
  withJson,
} from '../session.ts'
import { finishRequest, readCount } from './deploys.ts'

interface ListOptions extends CommonOptions {
  readonly lines: string
  readonly before?: string
}

interface RebuildOptions extends CommonOptions {
  readonly wait: boolean
}

type ReleaseWords = [string, string | undefined]

const placeArgument = ['[env]', 'its environment (default: test)'] as const

export function addReleaseVerbs(program: Command, run: Run): void {
  const releases = program
    .command('releases')
    .description('look at what was deployed: each release of an environment, v1, v2, …, stays as it was')
  const verb = (name: string, description: string): Command =>
    withJson(withEnvironment(releases.command(name).description(description)))

  withExample(
    verb('list', 'the newest releases: which one serves, whose image is kept, what they are made of, who and why')
      .argument('[env]', 'the environment (default: test)')
      .option('-n, --lines <n>', 'how many', '20')
      .option('--before <release>', 'those before this one')
      .action(run<[string | undefined], ListOptions>(listReleases)),
    'slipway releases list live',
    'slipway releases list live --before v80',
  )
  withExample(
    verb('show', 'one release: image, configuration, names of variables, commit, steps, deploys')
      .argument('<release>', 'v12')
      .argument(...placeArgument)
      .action(run<ReleaseWords, CommonOptions>(showRelease)),
    'slipway releases show v12 live',
  )
  for (const [name, pinned, what] of [
    ['pin', true, 'keep the image of a release, however old it gets'],
    ['unpin', false, 'let the image of a release go when it is too old to be kept'],
  ] as const) {
    withExample(
      verb(name, what)
        .argument('<release>', 'v12')
        .argument(...placeArgument)
        .action(
          run<ReleaseWords, CommonOptions>((session, args, options) =>
            setPinned(session, args, { ...options, pinned }),
          ),
        ),
      `slipway releases ${name} v12 live`,
    )
  }
  withExample(
    verb('rebuild', 'build the commit of a release again, with the variables of today, and deploy it as a new release')
      .argument('<release>', 'v12')
      .argument(...placeArgument)
      .option('--no-wait', 'return when it stands in line')
      .action(run<ReleaseWords, RebuildOptions>(rebuildRelease)),
    'slipway releases rebuild v12 live',
  )
  withExample(
    verb('diff', 'what the second has that the first has not, and the other way round')
      .argument('<from>', 'v11, or with its environment test:v12')
      .argument('<to>', 'v12, or with its environment live:v7')
      .argument(...placeArgument)
      .action(run<[string, string, string | undefined], CommonOptions>(compareReleases)),
    'slipway releases diff v11 v12 live',
    'slipway releases diff live:v7 test:v12',
  )
}

async function listReleases(session: Session, [name]: [string | undefined], options: ListOptions): Promise<void> {
  const { out } = session
  const [app, environment] = [await session.app(), chooseEnvironment(name, options)]
  const before = options.before === undefined ? '' : `&before=${readRelease(options.before)}`
  const query = `limit=${readCount(options.lines, 200)}${before}`
  const page = await session
    .client()
    .call<{ releases: Release[]; next: string | null }>('GET', `${environmentPath(app, environment)}/releases?${query}`)
  out.data(page.releases)
  if (page.releases.length === 0) {
    out.line(before === '' ? `${environment} has no releases yet. Push, or: slipway deploy ${environment}` : 'No more.')
    return
  }
  out.table(['RELEASE', 'STATE', 'IMAGE', 'COMMIT', 'SUBJECT', 'BY', 'WHY', 'WHEN'], page.releases.map(rowOf))
  if (page.next !== null) {
    out.note(`Older ones: slipway releases list ${environment} -a ${app} --before ${page.next}`)
  }
}

const longestSubject = 50

function rowOf(release: Release): string[] {
  const subject = release.subject ?? ''
  const short = subject.length > longestSubject ? `${subject.slice(0, longestSubject - 1)}…` : subject
  return [
    release.release,
    describeRelease(release),
    release.pinned ? 'pinned' : release.image,
    shortCommit(release.commit),
    short,
    release.deploy?.requestedBy ?? '-',
    describeReason(release),
    ago(release.createdAt),
  ]
}

async function showRelease(session: Session, words: ReleaseWords, options: CommonOptions): Promise<void> {
  const { environment, release: number } = readPlace(words, options)
  const app = await session.app()
  const path = `${environmentPath(app, environment)}/releases/${number}`
  const release = await session.client().call<ReleaseDetails>('GET', path)
  session.out.data(release)
  printRelease(session.out, app, release)
}

function printRelease(out: Output, app: string, release: ReleaseDetails): void {
  const { deploy, deploys } = release
  const more = deploys.total - deploys.newest.length
  out.facts([
    ['Release', `${release.release} of ${release.environment}`],
    ['State', describeRelease(release)],
    [
      '',
      release.revokedAt === null
        ? null
        : `still with a value that was revoked ${ago(release.revokedAt)}: slipway restart ${release.environment} -a ${app}`,
    ],
    [
      'Made',
      `${ago(release.createdAt)}${deploy === null ? '' : ` by ${deploy.requestedBy}`}: ${describeReason(release)}`,
    ],
    ['Commit', release.commit],
    ['', release.subject === null ? 'not in the repository any more' : `${release.subject} (${release.author ?? '-'})`],
    ['Image', `${release.digest} (build ${release.build}, ${(release.sizeBytes / 1_000_000).toFixed(1)} MB)`],
    ['', describeImage(release)],
    ['Address', release.url],
    ['Variables', release.variables.length === 0 ? 'none' : release.variables.join(', ')],
    ...labelled('Steps', release.steps.map(describeStep)),
    ...labelled(
      'Deploys',
      deploys.newest.map(
        ({ id, kind, state, requestedBy, createdAt }) =>
          `${id}: ${id === deploy?.id ? describeReason(release) : kind}, ${state}, by ${requestedBy}, ${ago(createdAt)}`,
      ),
    ),
    ['', more > 0 ? `and ${more} more` : null],
    ...labelled('Configuration', linesOf(release.configuration)),
  ])
}

function describeImage({ imageRemovedAt, pinned }: ReleaseDetails): string {
  if (imageRemovedAt !== null) return `gone since ${ago(imageRemovedAt)}: nothing starts from it any more`
  return pinned ? 'pinned: it is kept until slipway releases unpin' : 'kept'
}

function describeStep({ step, outcome, startedAt, finishedAt }: ReleaseDetails['steps'][number]): string {
  const seconds = finishedAt === null ? null : (Date.parse(finishedAt) - Date.parse(startedAt)) / 1000
  const how = outcome === null || outcome === 'done' ? '' : `, ${outcome}`
  return seconds === null ? `${step}: begun ${ago(startedAt)}` : `${step}: ${seconds.toFixed(1)} s${how}`
}

/** `health.path: /healthz`, one line for each key. */
function linesOf(value: unknown, path = ''): string[] {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.entries(value).flatMap(([key, inner]) => linesOf(inner, path === '' ? key : `${path}.${key}`))
  }
  if (value === null || (Array.isArray(value) && value.length === 0)) return []
  return [`${path}: ${typeof value === 'string' ? value : JSON.stringify(value)}`]
}

function labelled(name: string, lines: readonly string[]): [string, string | null][] {
  return lines.map((line, i) => [i === 0 ? name : '', line])
}

async function setPinned(
  session: Session,
  words: ReleaseWords,
  { pinned, ...options }: CommonOptions & { pinned: boolean },
): Promise<void> {
  const { environment, release: number } = readPlace(words, options)
  const path = `${environmentPath(await session.app(), environment)}/releases/${number}`
  const release = await session.client().call<Release>('PATCH', path, { pinned })
  session.out.data(release)
  session.out.line(
    pinned
      ? `${release.release} of ${environment} is pinned: its image is kept however old it gets.`
      : `${release.release} of ${environment} is not pinned any more.`,
  )
}

async function rebuildRelease(session: Session, words: ReleaseWords, options: RebuildOptions): Promise<number> {
  const { environment, release } = readPlace(words, options)
  const path = `${environmentPath(await session.app(), environment)}/releases/${release}/rebuilds`
  return finishRequest(session, await session.client().call<QueuedDeploy>('POST', path, {}), options)
}

async function compareReleases(
  session: Session,
  [fromText, toText, name]: [string, string, string | undefined],
  options: CommonOptions,
): Promise<void> {
  const { out } = session
  const usual = chooseEnvironment(name, options)
  const placeOf = (text: string) => readPlace([text.includes(':') ? text : `${usual}:${text}`], {})
  const [from, to] = [placeOf(fromText), placeOf(toText)]
  const path = `${environmentPath(await session.app(), to.environment)}/releases/${to.release}/comparison`
  const compared = await session
    .client()
    .call<ReleaseComparison>('GET', `${path}?from=${from.environment}:${from.release}`)
  out.data(compared)
  printComparison(out, compared)
}

function printComparison(out: Output, compared: ReleaseComparison): void {
  const [from, to] = [nameOf(compared.from), nameOf(compared.to)]
  out.line(`From ${from} to ${to}${compared.isSameImage ? ': the same image' : ''}`)
  printDifferences(out, compared, {
    added: `Commits that only ${to} has`,
    removed: `Commits that only ${from} has`,
    nothing: 'Nothing differs.',
  })
}

const nameOf = ({ environment, release }: ReleaseComparison['from']): string => `${release} of ${environment}`
