import { type ImageReference, readReference } from '../../builds/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import { asEngineError, engineReason, type Engine } from './engine.ts'
import { readMessages } from './engine-messages.ts'

/** A progress line at most this often: a pull reports hundreds of times. */
const progressEveryMs = 5000

/** The engine answers when the registry did, of which it asks several things; itself it waits 15 s for each. */
const beginMs = 120_000

/** Pulls one image without any credentials, with a line at its start and end, and progress between when it takes long. */
export async function pullImage(
  engine: Engine,
  reference: ImageReference,
  options: { onLine: (line: string) => void; signal: AbortSignal },
): Promise<void> {
  const { name } = reference
  options.onLine(`Pulling ${name}`)
  const progress = new PullProgress((text) => options.onLine(`Pulling ${name}: ${text}`))
  try {
    const { repository, tag, digest } = splitForPull(name)
    const platform = reference.platform === null ? {} : { platform: reference.platform }
    const what = { fromImage: repository, tag: digest ?? tag, ...platform }
    const limits = { timeoutMs: beginMs, signal: options.signal }
    const stream = await engine.call(`pull ${name}`, (docker) => docker.createImage(what), limits)
    let status = ''
    for await (const message of readMessages(stream)) {
      if (message.error !== undefined) throw pullError(name, message.error)
      if (message.status !== undefined) status = progress.read(message) ?? status
    }
    options.onLine(`Pulled ${name}${status === '' ? '' : ` (${status})`}`)
  } catch (error) {
    if (options.signal.aborted) throw asReason(options.signal)
    const reason = engineReason(error)
    if (reason !== '') throw pullError(name, reason)
    throw asEngineError(error, `pull ${name}`)
  }
}

function asReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new SlipwayError('cancelled', 'The build was cancelled.')
}

function splitForPull(name: string): { repository: string; tag: string; digest: string | null } {
  const { tag, digest } = readReference(name)
  const [withoutDigest = name] = name.split('@')
  return { repository: withoutDigest.replace(/(:[^:/]+)$/, ''), tag, digest }
}

/** Which of the registry's many sentences this is. */
function pullError(name: string, reason: string): SlipwayError {
  const cause = new Error(reason)
  if (/no space left on device/i.test(reason)) {
    return new SlipwayError('unavailable', `There is no room on the host for the base image ${name}.`, {
      hint: 'Free some disk space: docker system df, docker image prune.',
      cause,
    })
  }
  if (/manifest .*unknown|not found: manifest|manifest for .* not found|no matching manifest/i.test(reason)) {
    return new SlipwayError('build_failed', `The registry has no base image ${name}.`, {
      hint: 'Check its name and tag in the Dockerfile, and that it exists for this host’s platform.',
      cause,
    })
  }
  if (/denied|unauthorized|authentication required|no basic auth|forbidden/i.test(reason)) {
    return new SlipwayError('build_failed', `The registry does not give out the base image ${name}.`, {
      hint: 'It does not exist, or it is private. Check its name; Slipway pulls base images without signing in.',
      cause,
    })
  }
  if (/invalid reference|repository name/i.test(reason)) {
    return new SlipwayError('build_failed', `${name} is not the name of an image: ${reason}.`, { cause })
  }
  return new SlipwayError('unavailable', `The registry of the base image ${name} cannot be reached: ${reason}`, {
    hint: 'Push again when it answers. With SLIPWAY_BUILD_PULL=missing the operator lets builds use the copy that this host has.',
    cause,
  })
}

interface PullMessage {
  readonly status?: string
  readonly id?: string
  readonly progressDetail?: { readonly current?: number; readonly total?: number }
}

/** Sums the layers up; the last status says whether there was anything new. */
class PullProgress {
  readonly #layers = new Map<string, { current: number; total: number }>()
  readonly #onProgress: (text: string) => void
  #toldAt = performance.now()

  constructor(onProgress: (text: string) => void) {
    this.#onProgress = onProgress
  }

  read(message: PullMessage): string | null {
    const { current, total } = message.progressDetail ?? {}
    if (message.id !== undefined && message.status === 'Downloading' && current !== undefined && total !== undefined) {
      this.#layers.set(message.id, { current, total })
      this.#tell()
    }
    if (/^Status: Image is up to date/.test(message.status ?? '')) return 'it was up to date'
    if (/^Status: Downloaded newer image/.test(message.status ?? '')) return 'it is new'
    return null
  }

  #tell(): void {
    if (performance.now() - this.#toldAt < progressEveryMs) return
    this.#toldAt = performance.now()
    const layers = [...this.#layers.values()]
    const mb = (pick: 'current' | 'total'): string =>
      (layers.reduce((sum, layer) => sum + layer[pick], 0) / 1024 ** 2).toFixed(0)
    this.#onProgress(`${mb('current')} of ${mb('total')} MB`)
  }
}
