import type { Dockerfile, From, ImageReference, Step } from './dockerfile.ts'
import { SlipwayError } from '../kernel/errors.ts'

/** Says on what image a stage stands: between it and the labelled steps there may be those of its ONBUILD triggers. */
export const baseLabel = 'slipway.base'

/** A Dockerfile as the engine gets it. */
export interface WrittenDockerfile {
  readonly text: string
  /** One for each step of the engine, in its order. */
  readonly steps: readonly WrittenStep[]
}

export interface WrittenStep {
  /** Line in the app's Dockerfile. */
  readonly line: number
  /** As the app wrote it; null for the steps that Slipway adds. */
  readonly shown: string | null
  readonly keyword: string
}

/**
 * Writes the Dockerfile anew: images by the ids that were checked (a tag could move meanwhile), stages by number, and each
 * stage labelled, so that all its containers and images can be told from others, also after a crash: by its base image when
 * there is one that is `labelled` already (by the id that `idOf` says), else in its first step.
 */
export function writeDockerfile(
  file: Dockerfile,
  idOf: (image: ImageReference) => string,
  labels: Readonly<Record<string, string>>,
  labelled: ReadonlyMap<string, string> = new Map(),
): WrittenDockerfile {
  const lines = [`# escape=${file.escape}`]
  const steps: WrittenStep[] = []
  const add = (text: string, step: WrittenStep): void => {
    lines.push(text)
    steps.push(step)
  }

  for (const { keyword, rest, line } of file.globals) {
    add(`${keyword} ${rest}`, { line, shown: `${keyword} ${rest}`, keyword })
  }
  for (const stage of file.stages) {
    const name = stage.name === null ? '' : ` AS ${stage.name}`
    const shown = `FROM ${sourceName(stage.from, file, (image) => image.name)}${name}`
    const base = stage.from.kind === 'image' ? idOf(stage.from.image) : null
    const likeness = base === null ? undefined : labelled.get(base)
    const from = writeBase(stage.from, file, likeness === undefined ? idOf : () => likeness)
    add(`FROM ${from}${name}`, { line: stage.line, shown, keyword: 'FROM' })
    if (likeness === undefined) {
      const label = Object.entries({ ...labels, ...(base === null ? {} : { [baseLabel]: base }) }).map(writeLabel)
      add(`LABEL ${label.join(' ')}`, { line: stage.line, shown: null, keyword: 'LABEL' })
    }
    for (const step of stage.steps) {
      const { line, keyword } = step
      add(writeStep(step, idOf), { line, shown: `${keyword} ${shownFlags(step)}${step.rest}`, keyword })
    }
  }
  return { text: `${lines.join('\n')}\n`, steps }
}

function writeBase(from: From, file: Dockerfile, idOf: (image: ImageReference) => string): string {
  const source = sourceName(from, file, idOf)
  const platform = from.kind === 'image' ? from.image.platform : null
  return platform === null ? source : `--platform=${platform} ${source}`
}

function writeStep(step: Step, idOf: (image: ImageReference) => string): string {
  const flags = step.flags.map(({ name, value }) => {
    if (name !== 'from' || step.from === null) return `--${name}=${value}`
    const source =
      step.from.kind === 'image' ? idOf(step.from.image) : step.from.kind === 'stage' ? step.from.index : ''
    return `--from=${source}`
  })
  return [step.keyword, ...flags, step.rest].join(' ')
}

function shownFlags(step: Step): string {
  return step.flags.map(({ name, value }) => `--${name}=${value} `).join('')
}

function sourceName(from: From, file: Dockerfile, nameOf: (image: ImageReference) => string): string {
  if (from.kind === 'scratch') return 'scratch'
  if (from.kind === 'image') return nameOf(from.image)
  return file.stages[from.index]?.name ?? String(from.index)
}

function writeLabel([name, value]: [string, string]): string {
  // Names and numbers of Slipway's own; anything else would need the quoting of each builder.
  if (!/^[a-z][a-z.]*$/.test(name) || !/^[A-Za-z0-9_.:-]*$/.test(value)) {
    throw new SlipwayError('internal', `The label ${name} cannot be written.`)
  }
  return `"${name}"="${value}"`
}
