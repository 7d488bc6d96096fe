import type { Release } from './api-types.ts'

/** What became of a release, as people read it. */
export function describeRelease({ serves, deploy }: Pick<Release, 'serves' | 'deploy'>): string {
  if (serves) return 'serves'
  if (deploy === null) return '-'
  return deploy.state === 'live' ? 'has served' : deploy.state
}

/** Why there is a release. */
export function describeReason({ deploy, environment }: Pick<Release, 'deploy' | 'environment'>): string {
  if (deploy === null) return '-'
  const { kind, branch, from, rebuildOf } = deploy
  if (rebuildOf !== null) return `rebuild of ${rebuildOf}`
  if (from !== null) {
    const origin = from.environment === environment ? from.release : `${from.environment} ${from.release}`
    return `${kind} ${kind === 'rollback' ? 'to' : 'of'} ${origin}`
  }
  return kind === 'push' && branch !== null ? `push to ${branch}` : kind
}
