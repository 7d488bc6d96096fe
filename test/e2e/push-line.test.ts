import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'

const run = promisify(execFile)
const docker = async (...args: string[]): Promise<string> => (await run('docker', args)).stdout.trim()

/** Many pushes at once: lines of environments, replacement, and things on the same engine that are none of Slipway's business. */
describe('pushes at the same time', () => {
  let slipway: Slipway
  let neighbours: Neighbours

  beforeAll(async () => {
    await ensureBaseImage()
    neighbours = await makeNeighbours()
    slipway = await makeSlipway()
    await slipway.start()
  })

  afterAll(async () => {
    expect(await slipway.remove()).toEqual([])
    await neighbours.expectUntouched()
    await neighbours.remove()
  })

  /** Pushes and comes back when the server has said which deploy it is. */
  async function begin(clone: Clone, text: string) {
    await clone.write({ 'www/index.html': `${text}\n` })
    await clone.commit(text)
    const pushing = clone.start('push', 'slipway', 'HEAD:refs/heads/develop')
    await waitFor(`the push of ${text}`, 30_000, () => /Deploy \d+:/.test(pushing.output()))
    return { ...pushing, deploy: /Deploy (\d+):/.exec(pushing.output())?.[1] ?? '' }
  }
  /** Until then a newer push may take its place. */
  const untilBuilding = (): Promise<void> =>
    waitFor(
      'the build',
      30_000,
      async () => (await slipway.sql(`select 1 from builds where state = 'running'`)).length > 0,
    )
  const slow = (seconds: number): Record<string, string> => {
    const { Dockerfile = '', ...rest } = page('')
    return { ...rest, Dockerfile: Dockerfile.replace('CMD', `RUN sleep ${seconds}\nCMD`) }
  }
  const statuses = (output: string): string[] => [...output.matchAll(/status=(\w+)/g)].map(([, status]) => status ?? '')

  it('two within a second: both go live, one after the other', async () => {
    const clone = await makeClone(slipway, 'two')
    await clone.write(slow(4))
    const first = await begin(clone, 'first')
    await untilBuilding()
    const second = await begin(clone, 'second')
    const [one, two] = [await first.ended, await second.ended]
    expect([one.code, two.code]).toEqual([0, 0])
    expect(statuses(one.output)).toEqual(['live'])
    expect(statuses(two.output)).toEqual(['live'])
    expect(two.output).toContain(`Waiting for deploy ${first.deploy} of test to end (place 1 in the line)`)
    expect((await slipway.get('test--two.localhost')).body).toBe('second\n')
    await clone.remove()
  })

  it('a newer push takes the place of one that waits, and its pusher is told by which', async () => {
    const clone = await makeClone(slipway, 'three')
    await clone.write(slow(8))
    const running = await begin(clone, 'running')
    await untilBuilding()
    const waiting = await begin(clone, 'waiting')
    const newest = await begin(clone, 'newest')
    const replaced = await waiting.ended
    expect(newest.output()).not.toMatch(/status=/)
    expect(replaced.code).toBe(0)
    expect(replaced.output).toContain(`A newer push took the place of this one: deploy ${newest.deploy} (`)
    expect(replaced.output).toContain(`slipway deploys log ${newest.deploy} -f`)
    expect(replaced.output).toContain(`deploy=${waiting.deploy} environment=test release=- status=superseded`)
    expect(statuses((await running.ended).output)).toEqual(['live'])
    const { output } = await newest.ended
    expect(output).toContain(`Deploy ${newest.deploy} to test takes the place of deploy ${waiting.deploy}`)
    expect(statuses(output)).toEqual(['live'])
    expect((await slipway.get('test--three.localhost')).body).toBe('newest\n')
    // Its releases are counted without the one that never was.
    expect(output).toContain('release=v2 status=live')
    await clone.remove()
  })

  it('ten at once to ten apps all go live', async () => {
    const names = Array.from({ length: 10 }, (_, i) => `many-${i}`)
    const clones = await Promise.all(
      names.map(async (name) => {
        const clone = await makeClone(slipway, name)
        await clone.write(page(name))
        return clone
      }),
    )
    const pushed = await Promise.all(clones.map((clone) => clone.push('main')))
    for (const { code, output, results } of pushed) {
      expect({ code, results }).toMatchObject({ code: 0, results: [{ release: 'v1', status: 'live' }] })
      expect(output).toContain('=====> v1 is live in test')
    }
    expect(pushed.filter(({ output }) => /Waiting for a build slot/.test(output)).length).toBeGreaterThan(0)
    for (const name of names) expect((await slipway.get(`test--${name}.localhost`)).body).toBe(`${name}\n`)
    await Promise.all(clones.map((clone) => clone.remove()))
  })

  it('containers, networks and images of others are untouched, also over a restart; so is a young one with our label', async () => {
    const labels = [`slipway.installation=${slipway.installation}`, 'slipway.kind=instance', 'slipway.release=999999']
    const given = labels.flatMap((label) => ['--label', label])
    const stray = await docker('run', '-d', ...given, await ensureBaseImage(), 'sleep', '600')
    await slipway.stop()
    await slipway.start()
    await waitFor(
      'it to be ready',
      10_000,
      async () => (await slipway.get('slipway.localhost', '/readyz')).status === 200,
    )
    expect(await docker('inspect', '-f', '{{.State.Running}}', stray)).toBe('true')
    await neighbours.expectUntouched()
    await docker('rm', '-f', stray)
    expect((await slipway.get('test--many-3.localhost')).body).toBe('many-3\n')
  })
})

interface Neighbours {
  expectUntouched(): Promise<void>
  remove(): Promise<void>
}

/** A container, a network and an image of nobody, and the same of another Slipway's installation. */
async function makeNeighbours(): Promise<Neighbours> {
  const name = `neighbour-${randomBytes(4).toString('hex')}`
  const base = await ensureBaseImage()
  const container = (id: string, ...more: string[]): Promise<string> =>
    docker('run', '-d', '--name', `${name}-${id}`, '--network', `${name}-${id}`, ...more, base, 'sleep', '600')
  const labels = (id: string): string[] =>
    id === 'plain' ? [] : ['--label', `slipway.installation=${name}`, '--label', 'slipway.kind=instance']
  for (const id of ['plain', 'other']) {
    await docker('network', 'create', ...labels(id), `${name}-${id}`)
    const made = await container(id, ...labels(id))
    await docker('commit', '-c', `LABEL slipway.installation=${id === 'plain' ? '' : name}`, made, `${name}-${id}`)
  }
  const look = async (): Promise<string> =>
    (
      await Promise.all(
        ['plain', 'other'].flatMap((id) => [
          docker(
            'inspect',
            '-f',
            '{{.Id}} {{.State.StartedAt}} {{.State.Running}} {{json .NetworkSettings.Networks}}',
            `${name}-${id}`,
          ),
          docker('network', 'inspect', '-f', '{{.Id}} {{json .Containers}}', `${name}-${id}`),
          docker('image', 'inspect', '-f', '{{.Id}} {{.RepoTags}}', `${name}-${id}`),
        ]),
      )
    ).join('\n')
  const before = await look()
  return {
    async expectUntouched() {
      expect(await look()).toBe(before)
    },
    async remove() {
      for (const id of ['plain', 'other']) {
        await docker('rm', '-f', `${name}-${id}`)
        await docker('rmi', `${name}-${id}`)
        await docker('network', 'rm', `${name}-${id}`)
      }
    },
  }
}
