import { describe, expect, it } from '@jest/globals'
import {
  containerRequest,
  explainStartFailure,
  isSame,
  wantsInit,
} from '../../../../src/adapters/docker/container-spec.ts'
import { Secret } from '../../../../src/kernel/secret.ts'
import type { InstanceSpec } from '../../../../src/runtime/index.ts'

const spec: InstanceSpec = {
  name: 'slw-default-test--shop-v3-1',
  image: `sha256:${'a'.repeat(64)}`,
  labels: { 'slipway.app': 'shop', 'slipway.installation': 'somebody-else' },
  env: { PORT: '8000', KEY: new Secret('s3cret') },
  address: '10.213.0.7',
  limits: { memoryBytes: 512 * 1024 * 1024, cpus: 4, pids: 256 },
}
const plan = { installation: 'default', network: 'slw-default-0', hostCpus: 2, init: true }

describe('a container’s request', () => {
  it('says all of this and nothing more: a new field here is a decision about security', () => {
    expect(containerRequest(spec, plan)).toEqual({
      name: spec.name,
      Image: spec.image,
      Hostname: spec.name,
      Env: ['PORT=8000', 'KEY=s3cret'],
      Labels: { 'slipway.app': 'shop', 'slipway.kind': 'instance', 'slipway.installation': 'default' },
      Healthcheck: { Test: ['NONE'] },
      HostConfig: {
        NetworkMode: 'slw-default-0',
        SecurityOpt: ['no-new-privileges'],
        CapDrop: ['ALL'],
        CapAdd: [
          'CHOWN',
          'DAC_OVERRIDE',
          'FOWNER',
          'FSETID',
          'KILL',
          'NET_BIND_SERVICE',
          'SETGID',
          'SETPCAP',
          'SETUID',
        ],
        Memory: 512 * 1024 * 1024,
        MemorySwap: 512 * 1024 * 1024,
        NanoCpus: 2e9,
        PidsLimit: 256,
        Init: true,
        RestartPolicy: { Name: 'no' },
        LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } },
      },
      NetworkingConfig: { EndpointsConfig: { 'slw-default-0': { IPAMConfig: { IPv4Address: '10.213.0.7' } } } },
    })
  })

  it('replaces the image’s command and entrypoint for a release command', () => {
    const request = containerRequest({ ...spec, address: null, argv: ['/bin/sh', '-c', 'x'] }, plan)
    expect(request).toMatchObject({ Entrypoint: ['/bin/sh', '-c', 'x'], Cmd: [] })
    expect(request).not.toHaveProperty('NetworkingConfig')
  })

  it.each(['busybox', 'busybox:latest', 'sha256:abc', `x@sha256:${'a'.repeat(64)}`, 'a'.repeat(64)])(
    'refuses the image %s',
    (image) => {
      expect(() => containerRequest({ ...spec, image }, plan)).toThrow('digest only')
    },
  )

  it.each([{ 'A=B': 'x' }, { '': 'x' }, { A: 'x\0y' }])(
    'refuses the variables %j, without telling the value',
    (env) => {
      expect(() => containerRequest({ ...spec, env }, plan)).toThrow('cannot be given')
    },
  )
})

describe('taking a container over', () => {
  const found = { image: spec.image, labels: { 'slipway.app': 'shop', 'slipway.kind': 'instance', other: 'x' } }
  it('needs every label and the image', () => {
    const ours = { ...found.labels, 'slipway.installation': 'default' }
    expect(isSame({ ...found, labels: ours }, spec, 'default')).toBe(true)
    expect(isSame(found, spec, 'default')).toBe(false)
    expect(isSame({ labels: { ...ours, 'slipway.app': 'blog' }, image: spec.image }, spec, 'default')).toBe(false)
    expect(isSame({ labels: ours, image: `sha256:${'b'.repeat(64)}` }, spec, 'default')).toBe(false)
  })
})

describe('process 1', () => {
  it.each([
    [[], ['node', 'server.js'], true],
    [['/docker-entrypoint.sh'], ['nginx'], true],
    [['/init'], [], false],
    [['/usr/bin/tini', '--'], ['node'], false],
    [['/usr/bin/env', 'dumb-init'], ['x'], false],
    [['/bin/sh', '-c', 'exec /init'], [], false],
    [[], ['/sbin/my_init'], false],
    [[], ['python', 'init.py'], true],
  ])('%j %j: Slipway’s init %j', (entrypoint, command, init) => {
    expect(wantsInit(entrypoint, command)).toBe(init)
  })
})

describe('what the engine says when a start fails', () => {
  it.each([
    ['No such image: sha256:abc', 'The image of this build is not on the host any more.'],
    [
      'Address already in use',
      'The address 10.213.0.7 is in use on the host, by something that Slipway does not know.',
    ],
    [
      'OCI runtime create failed: exec: "/x": stat /x: no such file or directory: unknown',
      'The image’s command cannot be started.',
    ],
    ['No command specified', 'The image has no command to start.'],
    ['Minimum memory limit allowed is 6MB', 'The memory limit (512 MB) is too small to start a process.'],
    ['write /x: no space left on device', 'The host has no room to start a container.'],
  ])('%s', (reason, message) => {
    const error = explainStartFailure(reason, spec)
    expect(error?.message).toBe(message)
    expect(error?.evidence).toEqual([reason])
    expect(error?.hint).not.toBe('')
  })
  it('nothing of the kind', () => {
    expect(explainStartFailure('something new', spec)).toBeNull()
  })
})
