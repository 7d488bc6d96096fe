import { shortCommit } from '../kernel/short-commit.ts'
import type { Environment, ReleaseComparison } from './api-types.ts'
import type { Output } from './output.ts'

/** What differs, by what it is of; `titles` are those of the commits, and what is said when there is nothing. */
export function printDifferences(
  out: Output,
  {
    commits,
    variables,
    configuration,
    processes,
  }: Pick<ReleaseComparison, 'commits' | 'variables' | 'configuration' | 'processes'>,
  titles: { readonly added: string; readonly removed: string; readonly nothing: string },
): void {
  const sections: [string, string[]][] = [
    [titles.added, commits === null ? [] : commitLines(commits.added)],
    [titles.removed, commits === null ? [] : commitLines(commits.removed)],
    ['Variables', variableLines(variables)],
    ['Processes', differenceLines(processes)],
    ['Configuration', differenceLines(configuration)],
  ]
  for (const [title, lines] of sections) printSection(out, title, lines)
  if (commits === null) out.note('What lies between their commits is not known: one is not in the repository any more.')
  else if (sections.every(([, lines]) => lines.length === 0)) out.line(titles.nothing)
}

export function printCommits(out: Output, title: string, commits: Commits): void {
  printSection(out, title, commitLines(commits))
}

function printSection(out: Output, title: string, lines: readonly string[]): void {
  if (lines.length === 0) return
  out.line()
  out.line(`${title}:`)
  for (const line of lines) out.line(`  ${line}`)
}

/** What a lock does to what is planned. */
export function printLock(out: Output, environment: string, lock: Environment['lock']): void {
  if (lock === null) return
  const effect = lock.waits ? 'this would wait until it is unlocked' : 'this would be refused'
  out.line(`${environment} is locked by ${lock.by}: “${lock.reason}”; ${effect}.`)
}

type Commits = NonNullable<ReleaseComparison['commits']>['added']

function commitLines({ total, first }: Commits): string[] {
  return withRest(
    first.map(({ id, author, subject }) => `${shortCommit(id)}  ${subject}  (${author})`),
    total,
  )
}

function variableLines({ added, removed, changed }: ReleaseComparison['variables']): string[] {
  const words: [string, readonly string[]][] = [
    ['added', added],
    ['removed', removed],
    ['changed', changed],
  ]
  return words.filter(([, names]) => names.length > 0).map(([word, names]) => `${word}: ${names.join(', ')}`)
}

function differenceLines({ total, first }: ReleaseComparison['processes']): string[] {
  return withRest(
    first.map(({ path, from, to }) => `${path}: ${from ?? '(none)'} → ${to ?? '(none)'}`),
    total,
  )
}

const withRest = (lines: string[], total: number): string[] =>
  total > lines.length ? [...lines, `… and ${total - lines.length} more`] : lines
