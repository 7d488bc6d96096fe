import { describe, expect, it } from '@jest/globals'
import { stepError } from '../../../../src/adapters/docker/build-errors.ts'
import { makeBuildOutput } from '../../../../src/adapters/docker/build-output.ts'
import { readMessages } from '../../../../src/adapters/docker/engine-messages.ts'
import { Readable } from 'node:stream'

const steps = [
  { line: 1, shown: 'FROM a', keyword: 'FROM' },
  { line: 1, shown: null, keyword: 'LABEL' },
  { line: 3, shown: 'RUN x', keyword: 'RUN' },
]

function outputOf(chunks: string[]): { lines: string[]; containers: number; at: string | null } {
  const lines: string[] = []
  let containers = 0
  const output = makeBuildOutput({ steps, onLine: (line) => lines.push(line), onContainer: () => (containers += 1) })
  for (const chunk of chunks) output.write(chunk)
  output.end()
  const at = output.currentStep()
  return { lines, containers, at: at === null ? null : `${at.number}/${at.of} ${at.step.shown ?? ''}` }
}

const begin = [
  'Step 1/3 : FROM sha256:1',
  '\n',
  ' ---> 0123456789ab\n',
  'Step 2/3 : LABEL "x"="y"',
  '\n',
  ' ---> Running in 0123456789ab\n',
  'Removing intermediate container 0123456789ab\n',
  ' ---> 0123456789ab\n',
  'Step 3/3 : RUN x',
  '\n',
  ' ---> Running in 0123456789ab\n',
]

describe('the output of a build', () => {
  it('shows the steps as the app wrote them, without the engine’s noise', () => {
    const { lines, containers, at } = outputOf([
      ...begin,
      'hel',
      'lo\nno end',
      'Removing intermediate container 0123456789ab\n',
      'Successfully built 0123456789ab\n',
      'Successfully tagged a/b:1\n',
    ])
    expect(lines).toEqual(['Step 1/2 : FROM a', 'Step 2/2 : RUN x', 'hello', 'no end'])
    expect(containers).toBe(1)
    expect(at).toBe('2/2 RUN x')
  })

  it('puts pieces of standard error together again', () => {
    const { lines } = outputOf(
      [...begin, '\u001b[91mwarn', '\u001b[0m', '\u001b[91ming\n\u001b[0m', '\u001b[32mgreen\u001b[0m\n']
        .map((text) => text.replace(/^\u001b\[91mwarn$/, '\u001b[91mwarn\u001b[0m'))
        .filter((text) => text !== '\u001b[0m'),
    )
    expect(lines.slice(2)).toEqual(['warning', '\u001b[32mgreen\u001b[0m'])
  })

  it('stops a build of which the engine reads other steps than were written', () => {
    expect(() => outputOf(['Step 1/4 : FROM a'])).toThrow('4 steps instead of 3')
  })

  it('is not confused by a command that imitates it', () => {
    const { lines, containers, at } = outputOf([
      ...begin,
      'Step 1/1 : FROM evil',
      'Step 4/3 : RUN evil\n',
      ' ---> Running in 0123456789ab\n',
    ])
    expect(lines.slice(2)).toEqual(['Step 1/1 : FROM evilStep 4/3 : RUN evil'])
    // Looked for once more, to be sure.
    expect([containers, at]).toEqual([2, '2/2 RUN x'])
  })

  it('looks for every container once a command has counted ahead of the engine', () => {
    const longer = [
      ...steps,
      { line: 4, shown: 'RUN y', keyword: 'RUN' },
      { line: 5, shown: 'ENV a=b', keyword: 'ENV' },
    ]
    let containers = 0
    const output = makeBuildOutput({ steps: longer, onLine: () => {}, onContainer: () => (containers += 1) })
    const forged = ['Step 4/5 : x', ' ---> Running in 0123456789ab\n', 'Step 5/5 : x\n']
    const before = [...begin.map((text) => text.replace('/3 :', '/5 :')), ...forged]
    for (const text of before) output.write(text)
    const known = containers
    for (const text of ['Step 4/5 : RUN y', '\n', ' ---> Running in 0123456789ab\n']) output.write(text)
    expect(containers).toBe(known + 1)
  })

  it('has no step before the first', () => {
    expect(outputOf([]).at).toBeNull()
    expect(outputOf(begin.slice(0, 5)).at).toBe('1/2 FROM a')
  })
})

describe('messages of the engine', () => {
  it('are read however they are cut', async () => {
    const text = '{"stream":"ü\\n"}\r\n{"aux":{"ID":"sha256:1"}}\n\n{"error":"x"}'
    for (const size of [1, 3, 1000]) {
      const bytes = Buffer.from(text)
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size),
      )
      const read = []
      for await (const message of readMessages(Readable.from(pieces))) read.push(message)
      expect(read).toEqual([{ stream: 'ü\n' }, { aux: { ID: 'sha256:1' } }, { error: 'x' }])
    }
  })
})

describe('the error of a step', () => {
  const at = { number: 2, of: 2, step: { line: 3, shown: `RUN \u001b]0;x\u0007 ${'y'.repeat(500)}`, keyword: 'RUN' } }

  it('shows foreign text short and without escapes', () => {
    const error = stepError({ message: 'returned a non-zero code: 1', at, noSpace: false }, { memoryBytes: 1 })
    expect(error.message).toMatch(/^The build failed: step 2\/2 \(RUN \^\[\]0;x\^G y+…\) ended with exit code 1\.$/)
    expect(error.message.length).toBeLessThan(250)
  })

  it('tells a full disk from an error of the app', () => {
    expect(stepError({ message: 'x', at, noSpace: true }, { memoryBytes: 1 }).code).toBe('unavailable')
  })
})
