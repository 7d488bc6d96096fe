import { describe, expect, it } from '@jest/globals'
import { planInstances } from '../../../src/deploys/plan-instances.ts'

const web = { name: 'web', run: null, instances: 3 }
const worker = { name: 'worker', run: 'work', instances: 2 }

const names = (live: boolean, asked: [string, number][], processes = [web, worker]): string[] => {
  const scale = new Map(asked.map(([name, instances]) => [name, { instances, by: 'ada', at: new Date(0) }]))
  return planInstances(processes, { live, scale }).map(({ process, position }) => `${process}.${position}`)
}

describe('which instances a deploy starts', () => {
  it('as many as slipway.yml says; of web more than one where the environment is live', () => {
    expect(names(true, [])).toEqual(['web.1', 'web.2', 'web.3', 'worker.1', 'worker.2'])
    expect(names(false, [])).toEqual(['web.1', 'worker.1', 'worker.2'])
  })

  it('as many as somebody asked for, of the processes that there are', () => {
    expect(
      names(true, [
        ['web', 1],
        ['worker', 0],
        ['gone', 4],
      ]),
    ).toEqual(['web.1'])
    expect(names(false, [['web', 2]], [web])).toEqual(['web.1'])
  })

  it('never none of web', () => {
    expect(names(true, [['web', 0]], [web])).toEqual(['web.1'])
  })
})
