import { SlipwayError } from '../kernel/errors.ts'
import type { ImageReference } from './dockerfile.ts'
import { longestBaseVariable } from './dockerfile-refused.ts'

/** What an engine knows about an image that it has. */
export interface LocalImage {
  readonly id: string
  /** `python:3.12` */
  readonly tags: readonly string[]
  /** `python@sha256:…`, from pulls and pushes. */
  readonly digests: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  /** `NAME=value` */
  readonly variables: readonly string[]
  /** ONBUILD instructions that a build from it runs. */
  readonly triggers: readonly string[]
}

/**
 * Refuses what another app owns, with `build_failed`. Every image that Slipway makes carries its labels in all its layers'
 * images; an image without a name (a step or a stage of somebody's build) is nobody's to use.
 */
export function assertImageAllowed(reference: ImageReference, image: LocalImage): void {
  const own = Object.keys(image.labels).some((label) => label.startsWith('slipway.'))
  if (own) {
    throw refused(reference, 'is an image that Slipway built, and those belong to their app alone', {
      hint: 'Build both from a base image that does not come from Slipway, or push the shared part to a registry.',
    })
  }
  if (image.tags.length === 0 && image.digests.length === 0) {
    throw refused(reference, 'is an image without a name of its own', {
      hint: 'Give the image a tag (docker tag) and use that.',
    })
  }
  if (image.variables.some((variable) => variable.length > longestBaseVariable)) {
    throw refused(reference, `has a variable (ENV) that is longer than ${longestBaseVariable} characters`, {
      hint: 'Use a base image whose variables are shorter.',
    })
  }
}

/** Whether the image came from the registry that the reference names, so that there may be a newer one. */
export function mayBeOutdated(reference: ImageReference, image: LocalImage): boolean {
  const { repository, digest } = readReference(reference.name)
  return digest === null && image.digests.some((known) => known.startsWith(`${repository}@`))
}

/** In the engine's short form: without docker.io/ and library/. */
export function readReference(name: string): { repository: string; tag: string; digest: string | null } {
  const [beforeDigest = '', digest] = name.split('@')
  const [, repository = beforeDigest, tag] = /^(.+?)(?::([^:/]+))?$/.exec(beforeDigest) ?? []
  return {
    repository: repository.replace(/^(?:index\.)?docker\.io\//, '').replace(/^library\//, ''),
    tag: tag ?? 'latest',
    digest: digest ?? null,
  }
}

/** An id (or the beginning of one) is never asked of a registry. */
export function isImageId(reference: ImageReference, image: LocalImage): boolean {
  const given = reference.name.replace(/^sha256:/, '')
  return image.id.replace(/^sha256:/, '').startsWith(given)
}

function refused(reference: ImageReference, why: string, options: { hint: string }): SlipwayError {
  const where = reference.line === 0 ? '' : `line ${reference.line} of the Dockerfile: `
  return new SlipwayError('build_failed', `The build was refused: ${where}${reference.name} ${why}.`, options)
}
