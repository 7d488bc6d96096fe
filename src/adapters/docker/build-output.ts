import type { WrittenStep } from '../../builds/index.ts'
import { LineSplitter } from '../../kernel/terminal-text.ts'

/*
 * What the engine's own builder prints, made shorter: the steps as the app wrote them, and what the commands print. The
 * engine's words and the commands' come in the same stream; the engine's are messages of their own.
 */

const noise = [
  // Without an id after FROM scratch.
  /^ ---> (?:[0-9a-f]{12})?\n$/,
  /^ ---> Running in [0-9a-f]{12}\n$/,
  /^Removing intermediate container [0-9a-f]{12}\n$/,
  /^Successfully built [0-9a-f]{12}\n$/,
  /^Successfully tagged \S+\n$/,
]
const running = /^ ---> Running in [0-9a-f]{12}\n$/

export interface BuildOutput {
  /** Takes a `stream` message. Throws when the engine is about to do something else than what was written for it. */
  write(text: string): void
  end(): void
  /** The step that is being done, counted from 1 as the reader sees them; null before the first. */
  currentStep(): { readonly number: number; readonly of: number; readonly step: WrittenStep } | null
  /** A command wrote that the disk is full. */
  sawNoSpace(): boolean
}

export function makeBuildOutput(options: {
  steps: readonly WrittenStep[]
  onLine: (line: string) => void
  /** A command's container is there and about to start: not for steps that run nothing. Once for each step, more often when a command imitates the engine. */
  onContainer: () => void
}): BuildOutput {
  const { steps } = options
  const shownSteps = steps.filter((step) => step.shown !== null)
  let done = 0
  let told = false
  let afterStep = false
  let noSpace = false
  /** A command has printed lines like the engine's: nothing that rests on counting them counts any more. */
  let forged = false
  const lines = new LineSplitter((line) => {
    if (/no space left on device/i.test(line)) noSpace = true
    options.onLine(line)
  })

  /** What a command prints may look like a step; then only its own log is wrong. */
  const beginStep = (of: number): void => {
    if (done === 0 && of !== steps.length) {
      throw new Error(`the engine counts ${of} steps instead of ${steps.length}`)
    }
    const step = steps[done]
    done += 1
    told = false
    lines.end()
    const shown = step?.shown ?? null
    if (shown !== null)
      options.onLine(`Step ${shownSteps.indexOf(step as WrittenStep) + 1}/${shownSteps.length} : ${shown}`)
  }

  return {
    write(text) {
      const [, number, of] = /^Step (\d+)\/(\d+) : /.exec(text) ?? []
      if (number !== undefined && Number(number) === done + 1 && done < steps.length) {
        beginStep(Number(of))
        afterStep = true
        return
      }
      if (number !== undefined && Number(number) <= done) forged = true
      // The engine ends the step's line in a message of its own.
      if (afterStep && text === '\n') {
        afterStep = false
        return
      }
      afterStep = false
      if (running.test(text) && (forged || (!told && mayRun(steps[done - 1])))) {
        told = true
        options.onContainer()
      }
      if (noise.some((pattern) => pattern.test(text))) return lines.end()
      lines.write(withoutRed(text))
    },
    end: () => lines.end(),
    currentStep() {
      // A step that Slipway added belongs to the one before it.
      const step = steps.slice(0, done).findLast((one) => one.shown !== null)
      return step === undefined ? null : { number: shownSteps.indexOf(step) + 1, of: shownSteps.length, step }
    },
    sawNoSpace: () => noSpace,
  }
}

/**
 * `CMD`, `LABEL` and their like get a container that never starts, and looking for it holds the engine up (30 ms each). FROM: the base image's
 * triggers may run commands.
 */
function mayRun(step: WrittenStep | undefined): boolean {
  return step === undefined || step.keyword === 'RUN' || step.keyword === 'FROM'
}

/** The engine paints each piece of a command's standard error red, which cuts lines and colours in the middle. */
function withoutRed(text: string): string {
  return text.startsWith('\u001b[91m') && text.endsWith('\u001b[0m') ? text.slice(5, -4) : text
}
