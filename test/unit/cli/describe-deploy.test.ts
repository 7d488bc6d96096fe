import { expect, it } from '@jest/globals'
import { describeState, describeWhy } from '../../../src/cli/describe-deploy.ts'

type Fields = Parameters<typeof describeState>[0]

const deploy = (fields: Partial<Fields>): Fields =>
  ({ state: 'running', step: null, waitingFor: null, cancelRequested: false, ...fields }) as Fields

it.each<[Partial<Fields>, string]>([
  [{ state: 'live', step: 'swap', serves: true }, 'live'],
  [{ state: 'live', step: 'swap', serves: false }, 'was live'],
  [{ step: 'check' }, 'running (check)'],
  [{}, 'running'],
  [
    { step: 'build', waitingFor: 'Waiting for a build slot, 2 builds before it' },
    'waiting for a build slot, 2 builds before it',
  ],
  [{ state: 'waiting' }, 'waiting'],
  [{ state: 'waiting', waitingFor: 'Waiting for deploy 7 of test to end' }, 'waiting for deploy 7 of test to end'],
  [{ step: 'build', waitingFor: 'Waiting for a build slot', cancelRequested: true }, 'running (to be cancelled)'],
  [{ state: 'failed', step: 'check', cancelRequested: true }, 'failed'],
])('says what a deploy is at: %j', (fields, said) => {
  expect(describeState(deploy(fields))).toBe(said)
})

it.each<[Partial<Fields>, string]>([
  [{ kind: 'push', branch: 'develop', from: null }, 'push to develop'],
  [{ kind: 'deploy', branch: 'develop', from: null }, 'deploy'],
  [{ kind: 'rollback', from: { environment: 'live', release: 'v6' } }, 'rollback to v6'],
  [{ kind: 'promotion', from: { environment: 'test', release: 'v2' } }, 'promotion of test v2'],
])('says why there is a deploy: %j', (fields, said) => {
  expect(describeWhy(deploy({ environment: 'live', ...fields }))).toBe(said)
})
