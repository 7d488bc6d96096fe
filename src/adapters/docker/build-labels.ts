import { labelNames } from '../../runtime/index.ts'

type Labels = Readonly<Record<string, string>>

/**
 * How a build's containers and images are told from everything else: by labels alone. The tag only keeps
 * `docker image prune` from taking a release's image, and tells the finished image of a build from its intermediate ones.
 */
export interface BuildLabels {
  tagOf(buildId: number): string
  labelsOf(buildId: number, app: string): Record<string, string>
  /** As a filter of the engine's lists; null: of all builds. */
  filterOf(buildId: number | null): { label: string[] }
  isOwn(labels: Labels | null | undefined, buildId?: number): boolean
}

export function makeBuildLabels(installation: string): BuildLabels {
  return {
    tagOf: (buildId) => `slipway-${installation}/build:${buildId}`,
    labelsOf: (buildId, app) => ({
      [labelNames.installation]: installation,
      [labelNames.app]: app,
      [labelNames.build]: String(buildId),
      [labelNames.kind]: 'build',
    }),
    filterOf: (buildId) => ({
      label: [
        `${labelNames.installation}=${installation}`,
        ...(buildId === null ? [] : [`${labelNames.build}=${buildId}`]),
        // An instance has its image's labels too, but says `instance` here.
        `${labelNames.kind}=build`,
      ],
    }),
    isOwn: (labels, buildId) =>
      labels?.[labelNames.installation] === installation &&
      labels[labelNames.kind] === 'build' &&
      (buildId === undefined || labels[labelNames.build] === String(buildId)),
  }
}

/** The engine says `<none>:<none>` for no name in lists, and [] or null in details. */
export function namesOf(tags: readonly string[] | null | undefined): string[] {
  return (tags ?? []).filter((tag) => tag !== '<none>:<none>')
}
