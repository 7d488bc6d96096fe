import { shortCommit } from '../kernel/short-commit.ts'

/*
 * A deploy: the act that makes a release live. This file is the whole of its life: the states, the steps in their order,
 * and which state may follow which. No input or output happens here.
 */

export const deploySteps = ['build', 'release-commands', 'start', 'check', 'swap'] as const
export type DeployStep = (typeof deploySteps)[number]

/**
 * What asked for it. Webhooks are pushes. `restart` and `scale` start the release that serves once more, beside itself; `start`
 * what an environment served before it was stopped.
 */
export type DeployKind = 'push' | 'deploy' | 'promotion' | 'rollback' | 'restart' | 'scale' | 'start'

/** On which occasion release commands run with a deploy of this kind; null: none does. What is gone back to had them run. */
export function commandsOccasion(kind: DeployKind): 'deploy' | 'promote' | null {
  if (kind === 'rollback') return null
  return kind === 'promotion' ? 'promote' : 'deploy'
}

/** What a deploy of this kind goes through: each step is recorded twice, and one that does nothing would be waited for all the same. */
export function stepsOf(kind: DeployKind): readonly DeployStep[] {
  const runsCommands = !isOfSameRelease(kind) && commandsOccasion(kind) !== null
  return deploySteps.filter((step) => runsCommands || step !== 'release-commands')
}

/** Whether pushes are held once such a deploy is live: a person's own ends that; null: as before. */
export function holdAfter({ kind, holds }: Pick<Deploy, 'kind' | 'holds'>): boolean | null {
  if (holds) return true
  return kind === 'deploy' || kind === 'promotion' ? false : null
}

/** Nothing is built, and no release is made. */
export function isOfSameRelease(kind: DeployKind): boolean {
  return kind === 'restart' || kind === 'scale' || kind === 'start'
}

/** `reverted`: it was live, and Slipway went back from it by itself. */
export type DeployState = 'waiting' | 'running' | 'live' | 'reverted' | 'failed' | 'cancelled' | 'superseded'

const moves: Readonly<Record<DeployState, readonly DeployState[]>> = {
  waiting: ['running', 'superseded', 'cancelled', 'failed'],
  running: ['live', 'failed', 'cancelled', 'superseded'],
  live: ['reverted'],
  reverted: [],
  failed: [],
  cancelled: [],
  superseded: [],
}

export function mayMove(from: DeployState, to: DeployState): boolean {
  return moves[from].includes(to)
}

export function hasEnded(state: DeployState): boolean {
  return state !== 'waiting' && state !== 'running'
}

/** A release whose image a deploy takes instead of building one. */
export interface Origin {
  /** The three are null when its environment was removed since. */
  readonly releaseId: number | null
  readonly number: number | null
  readonly environment: string | null
  /** Whose variables the new release has: those of that release, or those that the environment has when it is made. */
  readonly variables: 'release' | 'environment'
}

/** As people call it: `v7`, or `test v7` when it is of another environment than what it is told of. */
export function nameOrigin({ number, environment }: Pick<Origin, 'number' | 'environment'>, beside: string): string {
  if (number === null || environment === null) return 'a release that was removed'
  return environment === beside ? `v${number}` : `${environment} v${number}`
}

export interface Deploy {
  readonly id: number
  readonly environmentId: number
  readonly appId: number
  readonly app: string
  readonly environment: string
  readonly label: string
  readonly live: boolean
  readonly kind: DeployKind
  readonly branch: string | null
  readonly commit: string
  readonly requestedBy: string
  readonly state: DeployState
  readonly step: DeployStep | null
  readonly buildId: number | null
  readonly releaseId: number | null
  readonly releaseNumber: number | null
  readonly supersededBy: number | null
  /** Null: its image is built. */
  readonly from: Origin | null
  /** While it has not ended, and after it went live, pushes to its environment are held. */
  readonly holds: boolean
  /** The deploy whose instances it leads to: itself, or one that served before and whose instances were still warm. */
  readonly instancesOf: number
  /** The deploy that it goes back from by itself, after that was watched. */
  readonly reverts: number | null
  /** It makes a build of its own. */
  readonly forceRebuild: boolean
  /** Of a strict push: it swaps when all deploys of that push have passed their checks, which `agreed` says. Else null. */
  readonly strict: { readonly pushId: number; readonly agreed: boolean } | null
  readonly cancelRequested: boolean
  readonly cancelRequestedBy: string | null
  /** What it or its build waits for, in words; null when neither waits. */
  readonly waitingFor: string | null
  readonly commandsRan: boolean
  /** Requests to its environment are led to its release now. */
  readonly serves: boolean
  readonly error: { readonly code: string; readonly message: string } | null
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
}

/** One line of a deploy's log. `seq` grows by one from 1 and never changes: a reader goes on after the last it has seen. */
export interface LogLine {
  readonly seq: number
  readonly at: Date
  readonly kind: LogKind
  readonly text: string
}

/** `output` is foreign text (a build's, an app's), sanitised before it is stored; all other kinds are Slipway's own words. */
export type LogKind = 'step' | 'detail' | 'output' | 'result' | 'error' | 'machine'

const marks: Readonly<Record<LogKind, string>> = {
  step: '-----> ',
  detail: '       ',
  output: '       ',
  result: '=====> ',
  error: ' !     ',
  machine: '',
}

/** The line under which a build's output stands, up to the next step's. Foreign text is never of this kind. */
export function buildHeading(commit: string): Pick<LogLine, 'kind' | 'text'> {
  return { kind: 'step', text: `Building ${shortCommit(commit)} without layer cache` }
}

export function isBuildHeading({ kind, text }: Pick<LogLine, 'kind' | 'text'>): boolean {
  return kind === 'step' && text.startsWith('Building ')
}

/** A line as pushers and the command line see it. Foreign text is always indented, so it cannot look like Slipway's own. */
export function renderLine(line: Pick<LogLine, 'kind' | 'text'>): string {
  return marks[line.kind] + line.text
}

export interface DeployRequest {
  readonly environmentId: number
  readonly kind: DeployKind
  readonly branch: string | null
  readonly commit: string
  readonly requestedBy: string
  readonly pushId: number | null
  /** The release that is started once more; left out, one is made. */
  readonly releaseId?: number
  /** Makes its new release of the image of this one (of the same app; its commit and branch are given); left out, it builds. */
  readonly from?: { readonly releaseId: number; readonly variables: Origin['variables'] }
  /** It keeps pushes from coming behind it, and takes the place of those that are in line; left out, it does not. */
  readonly holds?: boolean
  /** What is to be known of it, in sentences: they stand at the beginning of its log. */
  readonly notes?: readonly string[]
  /** It shares no build with others; left out, it does. */
  readonly forceRebuild?: boolean
  /** The release of the same environment that it makes anew; its address leads to the new one when its own image is gone. */
  readonly rebuildOf?: number
  /** It swaps only when all deploys of its push have passed their checks; left out, it need not wait for them. */
  readonly strict?: boolean
  /** The deploy that it goes back from by itself. */
  readonly reverts?: number
}

export interface QueuedDeploy {
  readonly deployId: number
  /** Deploys that this one takes the place of: they had not begun, or have been told to end. */
  readonly replaced: readonly number[]
  /** How many deploys of the same environment come before it. */
  readonly ahead: number
}
