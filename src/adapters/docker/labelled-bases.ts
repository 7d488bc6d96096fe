import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type Docker from 'dockerode'
import { pack } from 'tar-stream'
import { baseLabel } from '../../builds/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Engine } from './engine.ts'
import { readMessages } from './engine-messages.ts'

/** By the id of a base image the id of its likeness with labels. */
export type LabelledBases = ReadonlyMap<string, string>

/** Half a second on a busy machine. */
const timeoutMs = 30_000

/**
 * Makes a likeness of each base image that differs in its labels only, so that everything that is built on it has them from
 * its first step on, triggers included. It is loaded as an image whose layers the engine has already, which costs less than
 * a step, and can be done while the engine takes in the build's files. Never rejects: an engine that loads no image without
 * layers gets the labels by a step.
 */
export async function labelBases(
  engine: Engine,
  bases: { readonly ids: readonly string[]; readonly labels: Readonly<Record<string, string>> },
  logger: Logger,
): Promise<LabelledBases> {
  const made = new Map<string, string>()
  for (const id of new Set(bases.ids)) {
    try {
      made.set(id, await loadLikeness(engine, id, { ...bases.labels, [baseLabel]: id }))
    } catch (error) {
      logger.debug('a base image gets its labels by a step', { id, error })
    }
  }
  return made
}

async function loadLikeness(engine: Engine, id: string, labels: Readonly<Record<string, string>>): Promise<string> {
  const base = await engine.call('image', (docker) => docker.getImage(id).inspect())
  const config = JSON.stringify(likenessOf(base, labels))
  const likeness = `sha256:${createHash('sha256').update(config).digest('hex')}`
  // Of layers that the engine has it looks at nothing but their place in the list.
  const layers = base.RootFS.Layers?.map((_, i) => `${i}.tar`) ?? []
  const archive = pack()
  archive.entry({ name: 'config.json' }, config)
  archive.entry({ name: 'manifest.json' }, JSON.stringify([{ Config: 'config.json', RepoTags: null, Layers: layers }]))
  archive.finalize()
  const how: object = { quiet: true }
  // Not ended with the build: what was begun is there afterwards, and is cleaned up with the rest.
  const said = await engine.call(
    'load a base image',
    (docker) => readAll(docker.loadImage(archive as unknown as Readable, how)),
    {
      timeoutMs,
    },
  )
  if (!said.includes(likeness)) throw new SlipwayError('internal', `The engine loaded another image: ${said}`)
  return likeness
}

async function readAll(loading: Promise<NodeJS.ReadableStream>): Promise<string> {
  let said = ''
  for await (const { stream = '', error = '' } of readMessages(await loading)) said += stream + error
  return said
}

/** An image's configuration as engines store it. */
function likenessOf(base: Docker.ImageInspectInfo, labels: Readonly<Record<string, string>>): object {
  const { Variant, OsVersion } = base as { Variant?: string; OsVersion?: string }
  const layers = base.RootFS.Layers ?? []
  return {
    architecture: base.Architecture,
    ...(Variant === undefined || Variant === '' ? {} : { variant: Variant }),
    os: base.Os,
    ...(OsVersion === undefined || OsVersion === '' ? {} : { 'os.version': OsVersion }),
    created: base.Created,
    config: { ...base.Config, Labels: { ...base.Config.Labels, ...labels } },
    rootfs: { type: 'layers', diff_ids: layers },
    // As many entries as there are layers: some tools count them.
    history: layers.map(() => ({ created: base.Created, created_by: `FROM ${base.Id}` })),
  }
}
