import type { Release } from './api-types.ts'

/** What became of a release, as people read it. */
export function describeRelease({ serves, deploy }: Pick<Release, 'serves' | 'deploy'>): string {
  if (serves) return 'serves'
  if (deploy === null) return '-'
  return deploy.state === 'live' ? 'has served' : deploy.state
}

/** Why there is a release. */
export function describeReason({ deploy }: Pick<Release, 'deploy'>): string {
  if (deploy === null) return '-'
  const { kind, branch } = deploy
  return kind === 'push' && branch !== null ? `push to ${branch}` : kind
}
