import type { Dockerfile, WrittenStep } from '../../builds/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import { plainLine } from '../../kernel/terminal-text.ts'

export interface FailedStep {
  readonly number: number
  readonly of: number
  readonly step: WrittenStep
}

/** A failure that the engine reported, in words that say which step and what to do. */
export function stepError(
  failure: { readonly message: string; readonly at: FailedStep | null; readonly noSpace: boolean },
  limits: { readonly memoryBytes: number },
): SlipwayError {
  const { at, message } = failure
  const cause = new Error(message)
  if (failure.noSpace) return noSpaceError(cause)
  const step = at === null ? '' : `step ${at.number}/${at.of} (${shorten(at.step.shown ?? '')})`
  const [, code] = /returned a non-zero code: (\d+)/.exec(message) ?? []
  if (code === '137') {
    const limit = formatBytes(limits.memoryBytes)
    return new SlipwayError(
      'build_failed',
      `The build failed: ${step} was killed (exit code 137); builds have ${limit} of memory here.`,
      {
        hint: 'Most likely it needed more memory. Let it need less (fewer jobs at once), or have the operator raise SLIPWAY_BUILD_MEMORY_MB.',
        cause,
      },
    )
  }
  if (code !== undefined) {
    return new SlipwayError('build_failed', `The build failed: ${step} ended with exit code ${code}.`, {
      hint: 'What it printed stands above.',
      cause,
    })
  }
  const where = step === '' ? '' : `${step}: `
  return new SlipwayError('build_failed', `The build failed: ${where}${shorten(message, 500)}`, {
    ...hintFor(message),
    cause,
  })
}

function hintFor(message: string): { hint?: string } {
  if (/file not found in build context|no such file or directory|file does not exist|no source files/i.test(message)) {
    return { hint: 'Is the file in the commit, inside build.context, and not in .dockerignore?' }
  }
  return {}
}

/** What the engine says about the text of the Dockerfile; its line numbers are those of the text that it got. */
export function dockerfileRefused(message: string, steps: readonly WrittenStep[]): SlipwayError {
  // Line 1 is the escape directive; each further line is a step.
  const own = message.replace(/\bline (\d+)\b/g, (_, line: string) => `line ${steps[Number(line) - 2]?.line ?? line}`)
  return new SlipwayError('build_failed', `The Dockerfile cannot be used: ${shorten(own, 500)}`, {
    hint: 'Correct the Dockerfile and push again.',
    cause: new Error(message),
  })
}

export function noSpaceError(cause?: unknown): SlipwayError {
  return new SlipwayError('unavailable', 'There is no room left on the host for this build.', {
    hint: 'The operator can free some: docker system df, docker image prune, docker builder prune.',
    ...(cause === undefined ? {} : { cause }),
  })
}

export function engineGoneError(cause?: unknown): SlipwayError {
  return new SlipwayError('unavailable', 'The Docker engine went away in the middle of the build.', {
    hint: 'Deploy again when it is back.',
    ...(cause === undefined ? {} : { cause }),
  })
}

export function buildkitError(file: Dockerfile): SlipwayError {
  const [first] = file.needsBuildkit
  const more = file.needsBuildkit.length > 1 ? ` (and ${file.needsBuildkit.length - 1} more)` : ''
  const what = first === undefined ? 'slipway.yml asks for it' : `line ${first.line} has ${first.what}${more}`
  return new SlipwayError('build_failed', `The Dockerfile needs BuildKit, which this host does not offer: ${what}.`, {
    hint: 'Write it without (RUN without --mount, COPY without --chmod and --link, no here-documents).',
  })
}

export function timeLimitError(ms: number): SlipwayError {
  const limit = ms >= 60_000 ? `${Math.round(ms / 6000) / 10} minutes` : `${ms / 1000} s`
  return new SlipwayError('timeout', `The build took longer than its limit of ${limit} and was stopped.`, {
    hint: 'Let it do less, or have the operator raise SLIPWAY_BUILD_TIMEOUT_MINUTES.',
  })
}

export function formatBytes(bytes: number): string {
  const mb = bytes / 1024 ** 2
  return mb >= 1024 ? `${Math.round((mb / 1024) * 10) / 10} GB` : `${Math.round(mb)} MB`
}

/** Foreign text inside a sentence of Slipway's. */
function shorten(text: string, longest = 120): string {
  const plain = plainLine(text.replace(/\s+/g, ' ').trim())
  return plain.length > longest ? `${plain.slice(0, longest)}…` : plain
}
