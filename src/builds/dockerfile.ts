import {
  dockerfileError,
  hasControlCharacter,
  type Instruction,
  readDockerfileLines,
  readInstruction,
} from './dockerfile-lines.ts'
import { makeValueLimit, refuseFetching } from './dockerfile-refused.ts'
import { expandWord, type Flag, readFlags, splitWords } from './dockerfile-words.ts'

/*
 * What a Dockerfile does, as far as a deploy server must know before it lets an engine run it: its stages, and every image
 * that it names. Pure; nothing is looked up here.
 */

/**
 * An image that the Dockerfile names. `base` and `copy` are needed by the build; `trigger` (ONBUILD) and `frontend` are only
 * looked at.
 */
export interface ImageReference {
  readonly name: string
  readonly line: number
  readonly role: 'base' | 'copy' | 'trigger' | 'frontend'
  /** `--platform=` of the FROM when it is another than the host's. */
  readonly platform: string | null
}

export type From =
  | { readonly kind: 'image'; readonly image: ImageReference }
  | { readonly kind: 'stage'; readonly index: number }
  | { readonly kind: 'scratch' }

export interface Stage {
  readonly name: string | null
  readonly line: number
  readonly from: From
  readonly steps: readonly Step[]
}

export interface Step extends Instruction {
  readonly flags: readonly Flag[]
  /** Of COPY --from. */
  readonly from: From | null
}

export interface Dockerfile {
  readonly escape: string
  /** ARGs before the first FROM. */
  readonly globals: readonly Instruction[]
  /** Up to the target. */
  readonly stages: readonly Stage[]
  readonly images: readonly ImageReference[]
  /** Names that the stages declare with ARG. */
  readonly args: readonly string[]
  /** The values that the build gives to ARGs. */
  readonly given: Readonly<Record<string, string>>
  /** What in it only BuildKit can do; empty when the engine's own builder will do. */
  readonly needsBuildkit: readonly { readonly line: number; readonly what: string }[]
  readonly syntax: string | null
}

export interface ReadOptions {
  readonly args: Readonly<Record<string, string>>
  readonly target: string | null
  /** The host's, such as linux/amd64. */
  readonly platform: string
}

/** Each stage on a stage with triggers runs them all again. */
const mostTriggered = 1000

/** Throws `build_failed` with the line for what cannot be understood or resolved. */
export function readDockerfile(text: string, options: ReadOptions): Dockerfile {
  const { escape, syntax, instructions, hereDocumentAt } = readDockerfileLines(text)
  const firstFrom = instructions.findIndex((one) => one.keyword === 'FROM')
  const stranger = instructions.slice(0, Math.max(firstFrom, 0)).find((one) => one.keyword !== 'ARG')
  if (stranger !== undefined) throw dockerfileError(stranger.line, `${stranger.keyword} stands before the first FROM`)
  if (firstFrom === -1) throw dockerfileError(1, 'there is no FROM')

  const globals = instructions.slice(0, firstFrom)
  const limitValues = makeValueLimit(escape, options.args)
  for (const instruction of globals) limitValues(instruction)
  const values = globalValues(globals, options, escape)
  const reader = new StageReader(values, escape, options.platform)
  let triggered = 0
  for (const instruction of instructions.slice(firstFrom)) {
    limitValues(instruction)
    reader.read(instruction)
    if (instruction.keyword !== 'FROM') continue
    const triggers = localTriggers(reader.stages.at(-1), reader.stages)
    triggered += triggers.length
    if (triggered > mostTriggered) throw dockerfileError(instruction.line, 'ONBUILD runs too often')
    triggers.forEach(limitValues)
  }
  const stages = upToTarget(reader.stages, options.target)
  const frontend = syntax === null ? [] : [reference(syntax.split(/\s/)[0] ?? '', 1, 'frontend')]
  return {
    escape,
    globals,
    stages,
    // Also those of stages that are not built: a name that must not stand there must not stand there.
    images: [...reader.images, ...frontend],
    args: declaredArgs(stages, escape),
    given: options.args,
    needsBuildkit: [
      ...reader.needsBuildkit,
      ...(hereDocumentAt === null ? [] : [{ line: hereDocumentAt, what: 'a here-document (<<)' }]),
    ],
    syntax,
  }
}

/** Images that the ONBUILD triggers of a base image name. */
export function readTriggers(triggers: readonly string[], stages: readonly Stage[], line: number): ImageReference[] {
  return triggers.flatMap((trigger) => imagesOfTrigger(readTrigger(trigger, line), stages))
}

/** Throws when values that base images' triggers set become too long, by themselves or in what stands behind them. */
export function limitTriggers(
  { escape, globals, stages, given }: Dockerfile,
  triggersOf: (image: ImageReference) => readonly string[],
): void {
  const limitValues = makeValueLimit(escape, given)
  globals.forEach(limitValues)
  for (const stage of stages) {
    const triggers = stage.from.kind === 'image' ? triggersOf(stage.from.image) : []
    for (const trigger of triggers) limitValues(readTrigger(trigger, stage.line))
    localTriggers(stage, stages).forEach(limitValues)
    stage.steps.forEach(limitValues)
  }
}

/** An image's configuration may hold any text: the engine would read further lines, and go on behind an escaped end of line. */
function readTrigger(trigger: string, line: number): Instruction {
  if (hasControlCharacter(trigger)) throw dockerfileError(line, 'an ONBUILD of the base image has a control character')
  return readInstruction(trigger.trim(), line)
}

/** What a stage runs first when it stands on another one. */
function localTriggers(stage: Stage | undefined, stages: readonly Stage[]): Instruction[] {
  if (stage?.from.kind !== 'stage') return []
  const steps = stages[stage.from.index]?.steps ?? []
  return steps.filter(({ keyword }) => keyword === 'ONBUILD').map(({ rest, line }) => readInstruction(rest, line))
}

/** BuildKit's names for the host's platform; the engine's own builder does not know them. */
export function platformArgs(platform: string): Record<string, string> {
  const [os = '', arch = '', variant = ''] = platform.split('/')
  const one = (who: string): Record<string, string> => ({
    [`${who}PLATFORM`]: platform,
    [`${who}OS`]: os,
    [`${who}ARCH`]: arch,
    [`${who}VARIANT`]: variant,
  })
  return { ...one('BUILD'), ...one('TARGET') }
}

function globalValues(globals: readonly Instruction[], options: ReadOptions, escape: string): Map<string, string> {
  const values = new Map(Object.entries(platformArgs(options.platform)))
  for (const { rest } of globals) {
    for (const word of splitWords(rest, escape)) {
      const [, name = '', value] = /^([^=]+)(?:=([^]*))?$/.exec(word) ?? []
      const given = Object.hasOwn(options.args, name) ? options.args[name] : undefined
      if (given !== undefined) values.set(name, given)
      else if (value !== undefined) values.set(name, expandWord(value, values, escape).text)
    }
  }
  return values
}

/** Reads one instruction after the other, knowing the stages before it. */
class StageReader {
  readonly stages: (Stage & { readonly steps: Step[] })[] = []
  readonly images: ImageReference[] = []
  readonly needsBuildkit: { line: number; what: string }[] = []
  readonly #values: ReadonlyMap<string, string>
  readonly #escape: string
  readonly #platform: string

  constructor(values: ReadonlyMap<string, string>, escape: string, platform: string) {
    this.#values = values
    this.#escape = escape
    this.#platform = platform
  }

  read(instruction: Instruction): void {
    if (instruction.keyword === 'FROM') {
      this.stages.push(this.#readFrom(instruction))
      return
    }
    const stage = this.stages.at(-1)
    if (stage === undefined) return
    stage.steps.push(this.#readStep(instruction))
  }

  #readFrom({ line, rest }: Instruction): Stage & { steps: Step[] } {
    const { flags, rest: words } = flagsOf(line, 'FROM', rest)
    const [image = '', as, name, ...more] = splitWords(words, this.#escape)
    const named = as?.toLowerCase() === 'as' && name !== undefined && more.length === 0
    if (image === '' || (as !== undefined && !named))
      throw dockerfileError(line, 'FROM must be "image" or "image AS name"')
    const stageName = name?.toLowerCase() ?? null
    if (stageName !== null && (!/^[a-z][a-z0-9_.-]*$/.test(stageName) || stageName === 'scratch')) {
      throw dockerfileError(line, `a stage cannot be named ${name ?? ''}`)
    }
    const from = this.#resolveBase(this.#expand(image, line), line, this.#platformOf(flags, line))
    return { name: stageName, line, from, steps: [] }
  }

  #resolveBase(name: string, line: number, platform: string | null): From {
    const index = findStage(this.stages, name, { byIndex: false })
    if (index !== null) return { kind: 'stage', index }
    if (name === 'scratch') return { kind: 'scratch' }
    return { kind: 'image', image: this.#remember({ ...reference(name, line, 'base'), platform }) }
  }

  #platformOf(flags: readonly Flag[], line: number): string | null {
    const other = flags.find((flag) => flag.name !== 'platform')
    if (other !== undefined) throw dockerfileError(line, `FROM does not know --${other.name}`)
    const written = flags[0]?.value
    if (written === undefined) return null
    const platform = this.#expand(written, line)
    return platform === this.#platform ? null : platform
  }

  #expand(word: string, line: number): string {
    const { text, missing, unknown } = expandWord(word, this.#values, this.#escape)
    if (unknown !== null) throw dockerfileError(line, `${unknown} in FROM is a form that is not known here`)
    if (missing.length > 0) {
      const hint = `Give it a default (ARG ${missing[0] ?? ''}=… before the first FROM) or a value in slipway.yml (build.args).`
      throw dockerfileError(line, `${missing.join(', ')} has no value, so the image is not known`, hint)
    }
    if (text === '') throw dockerfileError(line, 'the image name is empty')
    return text
  }

  #readStep(instruction: Instruction): Step {
    const { keyword, line, rest } = instruction
    if (keyword === 'LABEL') refuseOwnLabels(rest, line)
    if (keyword === 'ONBUILD') this.images.push(...imagesOfTrigger(readInstruction(rest, line), this.stages))
    if (!hasFlags(keyword)) return { ...instruction, flags: [], from: null }
    const read = flagsOf(line, keyword, rest)
    if (keyword === 'ADD') refuseFetching(read.rest, line)
    for (const flag of read.flags) this.#noteBuildkit(keyword, flag, line)
    this.images.push(...imagesOfMounts(read.flags, this.stages, line))
    const copied = keyword === 'COPY' ? read.flags.find((flag) => flag.name === 'from') : undefined
    const from = copied === undefined ? null : this.#resolveCopy(copied.value, line)
    return { ...instruction, ...read, from }
  }

  #resolveCopy(name: string, line: number): From {
    const stage = this.stages.length - 1
    const index = findStage(this.stages.slice(0, stage), name, { byIndex: true })
    if (index !== null) return { kind: 'stage', index }
    if (/^\d{1,9}$/.test(name)) throw dockerfileError(line, `there is no stage ${name} before this one`)
    return { kind: 'image', image: this.#remember(reference(name, line, 'copy')) }
  }

  #noteBuildkit(keyword: string, flag: Flag, line: number): void {
    const plain = keyword === 'RUN' ? [] : keyword === 'COPY' ? ['from', 'chown'] : ['chown']
    if (!plain.includes(flag.name)) this.needsBuildkit.push({ line, what: `${keyword} --${flag.name}` })
  }

  #remember(image: ImageReference): ImageReference {
    this.images.push(image)
    return image
  }
}

const hasFlags = (keyword: string): boolean => keyword === 'COPY' || keyword === 'ADD' || keyword === 'RUN'

function flagsOf(line: number, keyword: string, rest: string): { flags: Flag[]; rest: string } {
  const read = readFlags(rest)
  if (read === null)
    throw dockerfileError(line, `${keyword} has a flag that cannot be read; write it as --name=value without quotes`)
  if (read.rest === '') throw dockerfileError(line, `${keyword} needs an argument`)
  return read
}

function reference(name: string, line: number, role: ImageReference['role']): ImageReference {
  // What cannot be an image name would reach the engine's address as something else.
  if (!/^[A-Za-z0-9][A-Za-z0-9_.:/@-]{0,500}$/.test(name) || /\/\/|\.\./.test(name)) {
    throw dockerfileError(line, `"${name.slice(0, 100)}" is not the name of an image or of a stage before it`)
  }
  return { name, line, role, platform: null }
}

/** The stage before this one that a name means, or null. Names win over numbers. */
function findStage(stages: readonly Stage[], name: string, options: { byIndex: boolean }): number | null {
  const named = stages.findLastIndex((stage) => stage.name === name.toLowerCase())
  if (named !== -1) return named
  if (!options.byIndex || !/^\d{1,9}$/.test(name)) return null
  return Number(name) < stages.length ? Number(name) : null
}

function upToTarget<T extends Stage>(stages: readonly T[], target: string | null): readonly T[] {
  if (target === null) return stages
  const index = findStage(stages, target, { byIndex: true })
  if (index === null) throw dockerfileError(1, `there is no stage ${target} (build.target in slipway.yml)`)
  return stages.slice(0, index + 1)
}

function imagesOfTrigger(instruction: Instruction, stages: readonly Stage[]): ImageReference[] {
  const { keyword, line, rest } = instruction
  // An image may bring ONBUILD as a trigger: what it adds would run in a later stage, and nobody would have looked at it.
  if (keyword === 'FROM' || keyword === 'ONBUILD') throw dockerfileError(line, `ONBUILD ${keyword} is not allowed`)
  if (keyword === 'LABEL') refuseOwnLabels(rest, line)
  if (!hasFlags(keyword)) return []
  const { flags, rest: words } = flagsOf(line, keyword, rest)
  if (keyword === 'ADD') refuseFetching(words, line)
  const copied = flags.filter((flag) => flag.name === 'from').map((flag) => flag.value)
  const isImage = (name: string): boolean => findStage(stages, name, { byIndex: true }) === null
  return [
    ...copied.filter(isImage).map((name) => reference(name, line, 'trigger')),
    ...imagesOfMounts(flags, stages, line),
  ]
}

/** `--mount=type=bind,from=image,…` */
function imagesOfMounts(flags: readonly Flag[], stages: readonly Stage[], line: number): ImageReference[] {
  return flags
    .filter((flag) => flag.name === 'mount')
    .flatMap((flag) => flag.value.split(','))
    .map((part) => /^\s*from\s*=(.*)$/i.exec(part)?.[1])
    .filter((name) => name !== undefined)
    .filter((name) => findStage(stages, name, { byIndex: true }) === null)
    .map((name) => reference(name, line, 'trigger'))
}

/** Values may hold variables only where it is plain what is a name and what a value. */
const plainLabels =
  /^(?:[\w./-]+[ \t][^]*|(?:[\w./-]+=(?:"[^"\\`]*"|'[^'\\`]*'|[^\s"'\\`{}]|\$\{\w+\})*(?:[ \t]+|$))+)$/

/** Slipway knows its own by these labels. Variables could spell them too. */
function refuseOwnLabels(rest: string, line: number): void {
  const words = rest.replace(/["'\\`]/g, '').split(/\s/)
  if (words.some((word) => /^slipway\./i.test(word)) || (rest.includes('$') && !plainLabels.test(rest))) {
    throw dockerfileError(
      line,
      'labels that begin with slipway. are Slipway’s own, and label names cannot hold variables',
      'Correct the Dockerfile and push again; a value with a variable is written name="$VALUE".',
    )
  }
}

function declaredArgs(stages: readonly Stage[], escape: string): string[] {
  return stages
    .flatMap((stage) => stage.steps)
    .filter((step) => step.keyword === 'ARG')
    .flatMap((step) => splitWords(step.rest, escape).map((word) => word.split('=')[0] ?? ''))
}
