import { describe, expect, it } from '@jest/globals'
import { engineFlags, engineWarnings, type EngineMachine, explainEngine } from '../../../src/setup/engine.ts'
import type { EngineProbe } from '../../../src/setup/engine-call.ts'

const machine: EngineMachine = {
  ownSocket: '/var/run/docker.sock',
  dockerd: '/usr/sbin/dockerd',
  arguments: [],
  configFile: '/etc/docker/daemon.json',
  root: true,
  unit: false,
}
const explain = (probe: EngineProbe, change: Partial<EngineMachine> = {}, socket = machine.ownSocket) =>
  explainEngine(probe, socket, { ...machine, ...change })?.message ?? null

describe('starting an engine', () => {
  it('happens only when nobody listens on the machine’s own socket and it can be done', () => {
    expect(explain({ kind: 'absent' })).toBeNull()
    expect(explain({ kind: 'absent' }, { dockerd: null, unit: true })).toBeNull()
    expect(explain({ kind: 'absent' }, { root: false })).toContain('only root can start it')
    expect(explain({ kind: 'absent' }, { dockerd: null })).toContain('No Docker engine is installed')
    expect(explain({ kind: 'absent' }, {}, '/run/other.sock')).toBe('No Docker engine answers on /run/other.sock.')
  })

  it('does not happen over one that is there', () => {
    expect(explain({ kind: 'hung' })).toContain('takes connections but does not answer')
    expect(explain({ kind: 'forbidden' })).toContain('This user may not use')
    expect(explain({ kind: 'strange', what: 'it answered 404' })).toContain('no Docker engine: it answered 404')
  })

  it('keeps sites alive over a restart and containers apart, unless the operator’s file decides', () => {
    expect(engineFlags({})).toEqual(expect.arrayContaining(['--live-restore', '--icc=false']))
    expect(engineFlags({ 'live-restore': false, icc: true, 'log-level': 'info' })).toEqual([])
  })
})

describe('an engine that somebody else started', () => {
  it('is told what it lacks and how to mend it', () => {
    expect(engineWarnings({ liveRestore: true, isolatesContainers: true, swarm: false })).toEqual([])
    const [restore, icc] = engineWarnings({ liveRestore: false, isolatesContainers: false, swarm: false })
    expect(restore).toContain('"live-restore": true')
    expect(icc).toContain('"icc": false')
    expect(engineWarnings({ liveRestore: false, isolatesContainers: true, swarm: true })[0]).toContain('Swarm mode')
  })
})
