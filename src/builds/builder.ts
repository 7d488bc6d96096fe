import type { Readable } from 'node:stream'

/** Makes images on one engine. Declared by builds, implemented by `adapters/docker`. */
export interface Builder {
  /**
   * Builds without any layer cache and resolves with the image. Errors are `build_failed` (the app's fault: the message
   * names the step), `unavailable` (no room, engine away) or `cancelled`/`timeout` by the signal. When it rejects, the
   * containers and layers of this build are gone or are removed by `cleanUp`. Calling it again for the same build starts
   * over.
   */
  build(request: BuildRequest, options: BuildOptions): Promise<BuiltImage>
  /**
   * The finished image of a build, found by label; null when there is none. Throws `unavailable` when the engine does not
   * answer.
   */
  find(buildId: number): Promise<BuiltImage | null>
  /** Whether the engine has this image. Throws `unavailable` when it does not answer. */
  has(digest: string): Promise<boolean>
  /** Removes containers that an unfinished build left. Safe to repeat. */
  cleanUp(buildId: number): Promise<void>
  /** Builds of this installation of which the engine has any container or image. */
  listTraces(): Promise<number[]>
  /** Builds that have images without a name on which nothing stands: of their steps, or being made in this moment. */
  listLeftOver(): Promise<number[]>
  /** Removes all that there is of a build, its image too unless it is in use. Safe to repeat. */
  discard(buildId: number): Promise<void>
  /** Removes an image of this installation by digest; images that are not ours or are in use stay. Safe to repeat. */
  removeImage(digest: string): Promise<void>
}

export interface BuildOptions {
  readonly onLine: (line: string) => void
  /** Resolves when more lines may come; the engine's output is read no faster. */
  readonly room?: () => Promise<void>
  /** Asked before what a failed build left is removed: false when another server makes the build now. Always true when left out. */
  readonly isHeld?: () => Promise<boolean>
  readonly signal: AbortSignal
}

export interface BuildRequest {
  readonly buildId: number
  readonly app: string
  readonly labels: Readonly<Record<string, string>>
  /** Opens the build context: an uncompressed tar, `.dockerignore` not yet applied. */
  readonly openContext: (signal: AbortSignal) => Readable
  /** The ignore file's text, '' when there is none; patterns are relative to the context. */
  readonly ignore: string
  /** Path of the Dockerfile inside the context, and its text as it stands in the commit. */
  readonly dockerfile: { readonly path: string; readonly text: string }
  readonly target: string | null
  /** Of slipway.yml; `auto` when left out. */
  readonly builder?: 'auto' | 'engine' | 'buildkit'
  readonly args: Readonly<Record<string, string>>
  readonly pull: 'always' | 'missing'
  readonly limits: { readonly memoryBytes: number; readonly cpus: number; readonly timeoutMs: number }
}

export interface BuiltImage {
  /** Config digest, `sha256:…`: the same on every engine. */
  readonly digest: string
  readonly sizeBytes: number
  /** TCP ports of EXPOSE, ascending. */
  readonly exposedPorts: readonly number[]
  readonly healthcheck: ImageHealthcheck | null
  /** Names of variables that it was built with, of which a value was revoked since: it may hold that. Left out: none was. */
  readonly revoked?: readonly string[]
}

export interface ImageHealthcheck {
  /** argv to run in the container (CMD-SHELL is already `/bin/sh -c …`). */
  readonly argv: readonly string[]
  readonly timeoutMs: number | null
}
