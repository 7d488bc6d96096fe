import type { ReleaseCommand } from '../builds/index.ts'

const longest = 40

/**
 * What the lines of a release command are called in the log: by its label as far as a name can have it, else by its place among those of its
 * release. A Procfile's is called `release` already.
 */
export function nameReleaseCommand({ label, run }: Pick<ReleaseCommand, 'label' | 'run'>, position: number): string {
  // Of one without a label its beginning is the label.
  const name = run.startsWith(label) ? '' : shorten(label)
  return `release.${name === '' || name === 'release' ? position + 1 : name}`
}

function shorten(label: string): string {
  const plain = label.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase()
  return plain
    .replace(/[^a-z0-9_]+/g, '-')
    .slice(0, longest)
    .replace(/^[-_]+|[-_]+$/g, '')
}
