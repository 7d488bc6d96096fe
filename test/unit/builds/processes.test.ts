import { describe, expect, it } from '@jest/globals'
import { parseAppConfig } from '../../../src/builds/app-config.ts'
import { processesOf } from '../../../src/builds/processes.ts'
import { SlipwayError } from '../../../src/kernel/errors.ts'

const processesIn = (yaml: string | null, procfile: string | null = null) =>
  parseAppConfig(yaml, procfile).config.processes

function mistakesIn(yaml: string | null, procfile: string | null = null): string[] {
  try {
    parseAppConfig(yaml, procfile)
  } catch (error) {
    if (!(error instanceof SlipwayError)) throw error
    expect(error.code).toBe('config_invalid')
    return error.evidence.length > 0 ? [...error.evidence] : [error.message.replace(/^.*?: (.*)\.$/, '$1')]
  }
  throw new Error('it was accepted')
}

describe('processes in slipway.yml', () => {
  it('are web from the image alone unless something is said, in older builds too', () => {
    const alone = [{ name: 'web', run: null, instances: 1 }]
    expect(processesIn(null)).toEqual(alone)
    expect(processesIn('processes: {}')).toEqual(alone)
    expect(processesIn('processes:\n  web:\n')).toEqual(alone)
    expect(processesOf({})).toEqual(alone)
  })

  it('are read in their short and their long form, web first', () => {
    const text = `
processes:
  worker: { run: "python worker.py --fast", instances: 2 }
  mail_out: ./mail
  web: { instances: 3 }
  idle: { run: x, instances: 0 }
`
    expect(processesIn(text)).toEqual([
      { name: 'web', run: null, instances: 3 },
      { name: 'worker', run: 'python worker.py --fast', instances: 2 },
      { name: 'mail_out', run: './mail', instances: 1 },
      { name: 'idle', run: 'x', instances: 0 },
    ])
  })

  it('tell what is wrong with their lines', () => {
    const text = `processes:
  web: { run: serve, instances: 0 }
  worker: { instances: 2 }
  Big: x
  cron: y
  release: z
  many: { run: a, instances: 10000 }
  less: { run: a, instances: -1 }
  half: { run: a, instances: 1.5 }
  odd: { run: a, instnaces: 2 }
  list: [ a ]
  empty: ""
`
    expect(mistakesIn(text)).toEqual([
      expect.stringMatching(/^line 4: processes\.Big must have 1 to 30 characters/),
      expect.stringMatching(/^line 5: processes\.cron is a word of Slipway’s own/),
      'line 6: processes.release is the command that runs before the start: write it under release',
      'line 7: processes.many.instances must be a whole number from 0 to 50: all instances of an app share one machine',
      'line 8: processes.less.instances must be a whole number from 0 to 50: all instances of an app share one machine',
      'line 9: processes.half.instances must be a whole number from 0 to 50: all instances of an app share one machine',
      'line 10: unknown key "processes.odd.instnaces" (did you mean "instances"?)',
      'line 11: processes.list must be a mapping (key: value)',
      'line 12: processes.empty.run must not be empty',
    ])
    expect(mistakesIn('processes:\n  web: { instances: 0 }\n  worker: { instances: 2 }\n')).toEqual([
      'line 2: processes.web.instances must be at least 1: without web nothing answers requests',
      'line 3: processes.worker needs its command (run): only web may leave it to the image',
    ])
    const many = Array.from({ length: 21 }, (_, i) => `  p${i}: x`).join('\n')
    expect(mistakesIn(`processes:\n${many}\n`)).toEqual([expect.stringContaining('may name at most 20')])
  })
})

describe('a Procfile', () => {
  it('names processes and the release command', () => {
    const procfile = '# what runs\n\nweb: gunicorn app\r\nworker: celery -A app worker\nrelease: ./migrate\n'
    const { config, warnings } = parseAppConfig(null, procfile)
    expect(config.processes).toEqual([
      { name: 'web', run: 'gunicorn app', instances: 1 },
      { name: 'worker', run: 'celery -A app worker', instances: 1 },
    ])
    expect(config.releaseCommands.map(({ run }) => run)).toEqual(['./migrate'])
    expect(warnings).toEqual([])
  })

  it('leaves web to the image when it names only others', () => {
    expect(processesIn(null, 'worker: x')?.[0]).toEqual({ name: 'web', run: null, instances: 1 })
    expect(processesIn(null, 'release: x')).toEqual([{ name: 'web', run: null, instances: 1 }])
  })

  it('gives way to slipway.yml as a whole, and says so', () => {
    const { config, warnings } = parseAppConfig('processes: { worker: own }', 'web: a\nworker: b')
    expect(config.processes?.map(({ run }) => run)).toEqual([null, 'own'])
    expect(warnings).toEqual([expect.stringContaining('Procfile')])
  })

  it('tells what is wrong with its lines', () => {
    expect(mistakesIn(null, 'web: a\nno colon\nWeb: b\nweb: c\nworker:\nrouter: x\n')).toEqual([
      'line 2: must be “name: command”',
      expect.stringMatching(/^line 3: "Web" must have 1 to 30/),
      'line 4: "web" stands there twice',
      'line 5: "worker" must not be empty',
      expect.stringMatching(/^line 6: "router" is a word/),
    ])
  })
})
