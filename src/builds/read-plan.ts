import { posix } from 'node:path'
import { SlipwayError } from '../kernel/errors.ts'
import type { BuildVariables } from '../vars/index.ts'
import { type AppConfig, parseAppConfig } from './app-config.ts'
import type { Source, WantedFile } from './source.ts'

/** What a commit says about how it wants to be built and run. */
export interface BuildPlan {
  readonly config: AppConfig
  readonly dockerfileText: string
  readonly ignore: string
  /** Things the pusher should know that do not stop the build. */
  readonly warnings: readonly string[]
  /** The environment's variables that are for builds; not of the commit. */
  readonly variables?: BuildVariables
}

const longestConfigBytes = 64 * 1024
const longestDockerfileBytes = 1024 * 1024

/** Reads the configuration out of a commit. All that can be wrong with it is told before anything is built. */
export async function readBuildPlan(
  source: Source,
  app: string,
  commit: string,
  signal: AbortSignal,
): Promise<BuildPlan> {
  // The files of a Dockerfile in its usual place are asked for at once: nearly all repositories have it there.
  const usual = dockerfilePaths(defaultPlace)
  const [[configFile, procfile, ...usualFiles], { submodules, lfsPointers }] = await Promise.all([
    source.readFiles(app, commit, [...configFiles, ...usual]),
    source.surveyTree(app, commit, signal),
  ])
  const { config, warnings } = parseAppConfig(textOf(configFile), textOf(procfile))
  const paths = dockerfilePaths(config.build)
  const isUsual = paths.every(({ path }, i) => path === usual[i]?.path)
  const files = isUsual ? usualFiles : await source.readFiles(app, commit, paths)
  const [dockerfileText = null, ownIgnore, ignore] = files.map(textOf)
  if (dockerfileText === null) {
    throw new SlipwayError('build_failed', `The commit has no ${paths[0]?.path ?? ''}.`, {
      hint: 'Add a Dockerfile at the top of the repository, or name it in slipway.yml (build.dockerfile, build.context).',
    })
  }
  return {
    config,
    dockerfileText,
    ignore: ownIgnore ?? ignore ?? '',
    warnings: [...warnings, ...lfsWarnings(lfsPointers), ...submoduleWarnings(submodules)],
  }
}

const configFiles = [
  { path: 'slipway.yml', maxBytes: longestConfigBytes },
  { path: 'Procfile', maxBytes: longestConfigBytes },
]
const defaultPlace = { context: '.', dockerfile: 'Dockerfile' }

function dockerfilePaths({ context, dockerfile }: { context: string; dockerfile: string }): WantedFile[] {
  const at = (path: string, maxBytes: number): WantedFile => ({ path: posix.join(context, path), maxBytes })
  return [
    at(dockerfile, longestDockerfileBytes),
    at(`${dockerfile}.dockerignore`, longestConfigBytes),
    at('.dockerignore', longestConfigBytes),
  ]
}

type Read = Awaited<ReturnType<Source['readFiles']>>[number]

/** Throws for a file that is too long only when its text is wanted. */
function textOf(read: Read | undefined): string | null {
  if (read instanceof SlipwayError) throw read
  return read?.toString('utf8') ?? null
}

function lfsWarnings(paths: readonly string[]): string[] {
  if (paths.length === 0) return []
  return [
    `Git LFS pointers instead of content: ${nameSome(paths)}. Slipway stores no LFS objects, so the image gets the small pointer files.`,
    'Put the content into Git (git lfs migrate export --include="…"), or fetch it in the Dockerfile.',
  ]
}

function submoduleWarnings(paths: readonly string[]): string[] {
  if (paths.length === 0) return []
  return [
    `Submodules are not fetched, their folders are empty: ${nameSome(paths)}.`,
    'Put the content into this repository (git subtree add --prefix=…), or fetch it in the Dockerfile.',
  ]
}

function nameSome(paths: readonly string[]): string {
  return paths.slice(0, 3).join(', ') + (paths.length > 3 ? ', …' : '')
}
