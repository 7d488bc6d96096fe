import { describe, expect, it } from '@jest/globals'
import { parseAppConfig } from '../../../src/builds/app-config.ts'
import { compareCommits } from '../../../src/releases/compare-commits.ts'
import {
  compareConfigurations,
  compareProcesses,
  compareVariables,
  cutDifferences,
} from '../../../src/releases/compare.ts'
import { configurationAsWritten } from '../../../src/releases/configuration.ts'

const configOf = (yaml: string) => parseAppConfig(yaml, null).config

describe('variables', () => {
  it('are told by name, whatever their names', () => {
    const from = JSON.parse('{"A":"1","GONE":"2","__proto__":"3"}') as Record<string, string>
    const to = JSON.parse('{"A":"9","NEW":"2","__proto__":"3","constructor":"4"}') as Record<string, string>
    expect(compareVariables(from, to)).toEqual({ added: ['NEW', 'constructor'], removed: ['GONE'], changed: ['A'] })
    expect(compareVariables(to, to)).toEqual({ added: [], removed: [], changed: [] })
    expect(compareVariables({}, { toString: '1' })).toMatchObject({ added: ['toString'] })
  })
})

describe('a configuration', () => {
  it('reads as in slipway.yml', () => {
    const text = `
drain: 90s
health: { path: /up, status: 204, timeout: 1.5s }
release: [{ label: migrations, run: "python manage.py migrate", timeout: 10m }]
self_tests: [check]
build: { args: { timeoutMs: "5" } }
keep_warm: 10m
watch: { for: 90s, errors: 12% }
resources: { memory: 1g }
processes: { worker: { run: work, instances: 2 } }
cron: [{ label: clean-up, schedule: "@daily", run: clean }]`
    expect(configurationAsWritten(configOf(text))).toMatchObject({
      drain: '90s',
      stop: '10s',
      health: { path: '/up', status: '204', interval: '1s', timeout: '1500ms', deadline: '1m' },
      release: { migrations: { run: 'python manage.py migrate', on: ['deploy', 'promote'], timeout: '10m' } },
      self_tests: ['check'],
      keep_warm: '10m',
      watch: { for: '90s', errors: '12%' },
      build: { args: { timeoutMs: '5' }, context: '.' },
      resources: { memory: '1g', cpus: 1, pids: 256 },
      processes: { web: { instances: 1 }, worker: { run: 'work', instances: 2 } },
      cron: { 'clean-up': { schedule: '@daily', timezone: 'UTC', run: 'clean', timeout: '1h' } },
    })
  })

  it('is compared by the paths of its keys; processes stand apart', () => {
    const from = configOf('health: { path: /up }\nself_tests: [a]\nprocesses: { worker: work, old: x }')
    const to = configOf('port: 8000\nself_tests: [a, b]\ndrain: 0\nprocesses: { worker: work hard, new: y }')
    expect(compareConfigurations(from, to)).toEqual([
      { path: 'drain', from: '30s', to: '0ms' },
      { path: 'health.path', from: '/up', to: null },
      { path: 'port', from: null, to: '8000' },
      { path: 'self_tests', from: '["a"]', to: '["a","b"]' },
    ])
    expect(compareProcesses(from, to)).toEqual([
      { path: 'new.instances', from: null, to: '1' },
      { path: 'new.run', from: null, to: 'y' },
      { path: 'old.instances', from: '1', to: null },
      { path: 'old.run', from: 'x', to: null },
      { path: 'worker.run', from: 'work', to: 'work hard' },
    ])
  })

  it('of a build from before there were processes, jobs and warm releases is no other than one without them', () => {
    const before = { ...configOf(''), processes: undefined, cron: undefined, keepWarmMs: undefined, watch: undefined }
    expect(compareConfigurations(before, configOf(''))).toEqual([])
    expect(compareProcesses(before, configOf(''))).toEqual([])
    expect(compareConfigurations({}, {})).toEqual([])
    expect(compareConfigurations(null, null)).toEqual([])
  })

  it('is cut where a value is long', () => {
    const [difference] = compareProcesses(configOf(''), configOf(`processes: { web: ${'x'.repeat(3000)} }`))
    expect(difference).toMatchObject({ path: 'web.run', from: null, to: `${'x'.repeat(200)}…` })
  })
})

describe('of what differs', () => {
  it('the first hundred are told, and how many there are', () => {
    const all = Array.from({ length: 101 }, (_, i) => ({ path: `args.${i}`, from: null, to: 'x' }))
    const { total, first } = cutDifferences(all)
    expect([total, first.length, first[0], first[99]]).toEqual([101, 100, all[0], all[99]])
  })
})

describe('commits', () => {
  const history = (counts: { added: number; left: number } | null) => ({
    asked: [] as unknown[],
    countBetween: async () => counts,
    async listBetween(_app: string, range: { from: string | null; to: string; limit: number }) {
      this.asked.push(range)
      return [`${range.from}..${range.to}`]
    },
  })

  it('are told in both directions', async () => {
    const both = history({ added: 80, left: 1 })
    const told = await compareCommits(both, 'shop', { from: 'a', to: 'b' })
    expect(both.asked).toEqual([
      { from: 'a', to: 'b', limit: 50 },
      { from: 'b', to: 'a', limit: 50 },
    ])
    expect(told).toEqual({ added: { total: 80, first: ['a..b'] }, removed: { total: 1, first: ['b..a'] } })
  })

  it('are all that there are where nothing was before', async () => {
    const told = await compareCommits(history({ added: 80, left: 0 }), 'shop', { from: null, to: 'b' })
    expect(told).toEqual({ added: { total: 80, first: ['null..b'] }, removed: { total: 0, first: [] } })
  })

  it('are not asked for where there are none, and unknown when one is gone', async () => {
    const none = history({ added: 0, left: 0 })
    await compareCommits(none, 'shop', { from: 'a', to: 'b' })
    expect(none.asked).toEqual([])
    expect(await compareCommits(history(null), 'shop', { from: 'a', to: 'b' })).toBeNull()
    expect(await compareCommits(history(null), 'shop', { from: 'a', to: 'a' })).toMatchObject({ added: { total: 0 } })
  })
})
