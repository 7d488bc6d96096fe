import { z } from 'zod'
import { line } from './app-config-units.ts'
import type { Mistake } from './yaml-text.ts'

/*
 * The kinds of process that an app runs: `web` takes requests, all others are workers. They stand in slipway.yml
 * (`processes`) or in a Procfile.
 */

export interface ProcessConfig {
  readonly name: string
  /** null: the command of the image. Only `web` may leave it to that. */
  readonly run: string | null
  /** How many, unless somebody scales; of `web` only where the environment is live. */
  readonly instances: number
}

/** Instances of one release share a bridge of 500 addresses with their neighbours, and a machine. */
export const mostInstances = 50

const webAlone: ProcessConfig = { name: 'web', run: null, instances: 1 }

const command = line(4000)
const mostProcesses = 20

const namePattern = /^[a-z](?:[a-z0-9_-]{0,28}[a-z0-9])?$/
/** These stand in logs for something else. */
const reserved = ['release', 'command', 'cron', 'run', 'router', 'deploy', 'slipway']

/** Why a process cannot be called so; null when it can. */
export function whyNotProcessName(name: string): string | null {
  if (name === 'release') return 'is the command that runs before the start: write it under release'
  if (reserved.includes(name)) return `is a word of Slipway’s own (${reserved.join(', ')}): choose another`
  if (namePattern.test(name)) return null
  return 'must have 1 to 30 characters a–z, 0–9, _ and -, begin with a letter, and end with a letter or digit'
}

const instancesError = `must be a whole number from 0 to ${mostInstances}: all instances of an app share one machine`
const instances = z
  .number({ error: instancesError })
  .refine((count) => Number.isInteger(count) && count >= 0 && count <= mostInstances, instancesError)
  .default(1)

const name = z.string().superRefine((text, context) => {
  const why = whyNotProcessName(text)
  if (why !== null) context.addIssue({ code: 'custom', message: why })
})

/** `worker: python worker.py`, or the longer form. */
const processShape = z.strictObject({ run: command.optional(), instances })

/** Keys of the longer form, for whoever misspells one. */
export const processKeys = Object.keys(processShape.shape)

export const processesSchema = z
  .record(
    name,
    z.preprocess((given) => (typeof given === 'string' ? { run: given } : (given ?? {})), processShape),
  )
  .superRefine((given, context) => {
    const at = (path: string[], message: string): void => context.addIssue({ code: 'custom', path, message })
    if (Object.keys(given).length > mostProcesses) at([], `may name at most ${mostProcesses}`)
    for (const [process, { run, instances: count }] of Object.entries(given)) {
      if (process !== 'web' && run === undefined)
        at([process], 'needs its command (run): only web may leave it to the image')
      if (process === 'web' && count === 0)
        at([process, 'instances'], 'must be at least 1: without web nothing answers requests')
    }
  })

/** `web` first, whether it was named or not. */
export function toProcesses(given: z.output<typeof processesSchema>): readonly ProcessConfig[] {
  const named = Object.entries(given).map(([process, { run, instances: count }]) => {
    return { name: process, run: run ?? null, instances: count }
  })
  const web = named.find((one) => one.name === 'web') ?? webAlone
  return [web, ...named.filter((one) => one.name !== 'web')]
}

/** Of builds that were made before there were processes. */
export function processesOf(config: { readonly processes?: readonly ProcessConfig[] }): readonly ProcessConfig[] {
  return config.processes ?? [webAlone]
}

export interface Procfile {
  /** The command that runs before the start; null when there is none. */
  readonly release: string | null
  /** Null when no other process is named. */
  readonly processes: readonly ProcessConfig[] | null
  readonly mistakes: readonly Mistake[]
}

/** A line of it is `name: command`; empty ones and comments count for nothing. */
export function readProcfile(text: string): Procfile {
  const mistakes: Mistake[] = []
  const found = new Map<string, string>()
  for (const [index, content] of text.split(/\r?\n/).entries()) {
    if (/^\s*(?:#|$)/.test(content)) continue
    const why = readProcfileLine(content, found)
    if (why !== null) mistakes.push({ line: index + 1, text: why })
  }
  const { release = null, ...others } = Object.fromEntries(found)
  const names = Object.keys(others)
  if (names.length > mostProcesses) mistakes.push({ line: null, text: `may name at most ${mostProcesses} processes` })
  const web = { ...webAlone, run: others['web'] ?? null }
  const workers = names.filter((one) => one !== 'web')
  const processes = [web, ...workers.map((one) => ({ name: one, run: others[one] ?? null, instances: 1 }))]
  return { release, processes: names.length === 0 ? null : processes, mistakes }
}

/** Remembers what the line says; else what is wrong with it. */
function readProcfileLine(content: string, found: Map<string, string>): string | null {
  const [, process, run = ''] = /^([^\s:]+)[ \t]*:(.*)$/.exec(content) ?? []
  if (process === undefined) return 'must be “name: command”'
  const why = process === 'release' ? null : whyNotProcessName(process)
  if (why !== null) return `"${process}" ${why}`
  if (found.has(process)) return `"${process}" stands there twice`
  const parsed = command.safeParse(run.trim())
  if (!parsed.success) return `"${process}" ${parsed.error.issues.map((issue) => issue.message).join(', ')}`
  found.set(process, run.trim())
  return null
}
