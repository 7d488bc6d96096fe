import { posix } from 'node:path'
import { SlipwayError } from '../kernel/errors.ts'
import { type AppConfig, parseAppConfig } from './app-config.ts'
import type { Source } from './source.ts'

/** What a commit says about how it wants to be built and run. */
export interface BuildPlan {
  readonly config: AppConfig
  readonly dockerfileText: string
  readonly ignore: string
  /** Things the pusher should know that do not stop the build. */
  readonly warnings: readonly string[]
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
  const readText = textReader(source, app, commit)
  const [configText, procfile, pointers, { submodules }] = await Promise.all([
    readText('slipway.yml', longestConfigBytes),
    readText('Procfile', longestConfigBytes),
    source.findLfsPointers(app, commit, signal),
    source.measureTree(app, commit, signal),
  ])
  const { config, warnings } = parseAppConfig(configText, procfile)
  const inContext = (path: string): string => posix.join(config.build.context, path)
  const dockerfile = config.build.dockerfile
  const [dockerfileText, ownIgnore, ignore] = await Promise.all([
    readText(inContext(dockerfile), longestDockerfileBytes),
    readText(inContext(`${dockerfile}.dockerignore`), longestConfigBytes),
    readText(inContext('.dockerignore'), longestConfigBytes),
  ])
  if (dockerfileText === null) {
    throw new SlipwayError('build_failed', `The commit has no ${inContext(dockerfile)}.`, {
      hint: 'Add a Dockerfile at the top of the repository, or name it in slipway.yml (build.dockerfile, build.context).',
    })
  }
  return {
    config,
    dockerfileText,
    ignore: ownIgnore ?? ignore ?? '',
    warnings: [...warnings, ...lfsWarnings(pointers), ...submoduleWarnings(submodules)],
  }
}

type ReadText = (path: string, maxBytes: number) => Promise<string | null>

function textReader(source: Source, app: string, commit: string): ReadText {
  return async (path, maxBytes) => (await source.readFile(app, commit, path, maxBytes))?.toString('utf8') ?? null
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
