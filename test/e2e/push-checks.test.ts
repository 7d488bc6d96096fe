import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { listHoldings } from '../support/holdings.ts'
import { type Clone, makeClone, makeSlipway, page, type Push, type Slipway } from '../support/slipway.ts'

const base = 'FROM slipway-test/busybox:1\nCOPY www /www\n'
const config = 'drain: 1s\nstop: 1s\nhealth: { deadline: 4s, timeout: 1s }\nresources: { memory: 24m }\n'
const answer500 =
  'CMD while true; do printf "HTTP/1.0 500 Oops\\r\\nContent-Length: 18\\r\\n\\r\\nno such table: x\\r\\n" | nc -l -p $PORT; done\n'

/** Each way in which a container can be bad has a message of its own; none of them touches what serves. */
describe('a release that does not pass its checks', () => {
  let slipway: Slipway

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway({ SLIPWAY_BUILD_SLOTS: '3' })
    await slipway.start()
  })

  afterAll(async () => {
    expect(await slipway.remove()).toEqual([])
  })

  const cases: readonly (readonly [app: string, command: string, told: readonly (string | RegExp)[], more?: string])[] =
    [
      [
        'exits',
        'CMD echo bye; exit 0\n',
        ['The app ended with exit code 0', 'must stay in the foreground', 'The last line of its log:', ' bye'],
      ],
      [
        'crashes',
        'CMD echo no database; exit 3\n',
        ['The app ended with exit code 3', 'See its log above.', ' no database'],
      ],
      [
        'missing',
        'CMD ["/bin/no-such-server"]\n',
        [/cannot be started|exit code 127/, /must be in the image|is not in the image/],
      ],
      ['nothing', 'ENTRYPOINT []\nCMD []\n', ['The image has no command to start.', 'Add a CMD to the Dockerfile']],
      ['nobody', 'USER ghost\nCMD sleep 100\n', ['The user named in the Dockerfile is not in the image.']],
      [
        'loopback',
        'CMD exec httpd -f -p 127.0.0.1:$PORT -h /www\n',
        ['The app listens on 127.0.0.1:8080 only', 'Bind 0.0.0.0 instead of 127.0.0.1'],
      ],
      [
        'exposed',
        'EXPOSE 9000\nCMD exec httpd -f -p 7000 -h /www\n',
        ['Nothing listens on port 9000; the app listens on [::]:7000.', 'Port 9000 comes from EXPOSE'],
      ],
      [
        'unexposed',
        'CMD exec httpd -f -p 7000 -h /www\n',
        ['Nothing listens on port 8080; the app listens on [::]:7000.', 'Set port: 7000 in slipway.yml'],
      ],
      [
        'deaf',
        'CMD exec sleep 100\n',
        ['Nothing listened on port 8080 within 4 s.', 'A slow start needs a longer health.deadline'],
      ],
      [
        'errors',
        answer500,
        ['the app still answers GET / with 500 Oops', 'Its first line: no such table: x', 'Last probe: GET http://10.'],
      ],
      [
        'silent',
        'CMD exec nc -ll -p $PORT -e sleep 100\n',
        ['accepts connections on port 8080 but never answered GET / (waited 1 s each time)'],
      ],
      [
        'greedy',
        'CMD httpd -p $PORT -h /none; exec tail /dev/zero\n',
        [
          // The engine loses word of it at times.
          /The app was killed (?:for memory|\(exit code 137\) while it was checked, most likely for memory): its limit is 24 MB\./,
          'Raise resources.memory',
        ],
      ],
      [
        'sick',
        'HEALTHCHECK --timeout=10s CMD echo not well; exit 1\nCMD exec httpd -f -p $PORT -h /www\n',
        ['The image’s HEALTHCHECK did not pass within 4 s: exit code 1', ' not well'],
      ],
      [
        'untested',
        'CMD exec httpd -f -p $PORT -h /www\n',
        ['The self test “echo 3 of 4 failed; exit 2” failed: exit code 2', ' 3 of 4 failed'],
        'self_tests: ["echo 3 of 4 failed; exit 2"]\n',
      ],
      [
        'wrong-path',
        'CMD exec httpd -f -p $PORT -h /www\n',
        ['After 3 s the app still answers GET /healthz with 404', 'asks for 200-399'],
        'health: { path: /healthz, deadline: 3s }\n',
      ],
    ]

  it('is told why in its push, the old release serves on, and nothing is left of the new one', async () => {
    const clones = new Map<string, Clone>()
    await Promise.all(
      cases.map(async ([app]) => {
        const clone = await makeClone(slipway, app)
        clones.set(app, clone)
        await clone.write(page(app))
        expect((await clone.push('main')).results).toMatchObject([{ release: 'v1', status: 'live' }])
      }),
    )
    const before = await listHoldings(slipway)
    expect(before.containers).toHaveLength(cases.length)
    const pushed = new Map<string, Push>()
    const pushes = cases.map(async ([app, command, , more = '']) => {
      const clone = clones.get(app) as Clone
      const own = more.startsWith('health') ? config.replace(/health.*\n/, '') : config
      await clone.write({ Dockerfile: base + command, 'slipway.yml': own + more })
      pushed.set(app, await clone.push('main'))
    })
    await Promise.all(pushes)
    for (const [app, , told] of cases) {
      const { code, output, results } = pushed.get(app) as Push
      expect({ app, code, results }).toMatchObject({ app, code: 0, results: [{ release: 'v2', status: 'failed' }] })
      for (const part of told) expect(output).toMatch(part instanceof RegExp ? part : literally(part))
      expect(output).toMatch(/ !     test still serves v1, untouched\. *\nremote: slipway: deploy=/)
      expect(output.match(/slipway: deploy=/g)).toHaveLength(1)
      expect((await slipway.get(`test--${app}.localhost`)).body).toBe(`${app}\n`)
      expect((await slipway.get(`v2--test--${app}.localhost`)).status).toBe(404)
    }
    const after = await listHoldings(slipway)
    // The images of what failed stay for a while: they are their builds’.
    expect({ ...after, images: 0 }).toEqual({ ...before, images: 0 })
    for (const clone of clones.values()) await clone.remove()
  }, 180_000)

  it('but one that listens late passes, and the wait is shown', async () => {
    const clone = await makeClone(slipway, 'late')
    await clone.write({ ...page('late'), Dockerfile: `${base}CMD sleep 5; exec httpd -f -p $PORT -h /www\n` })
    const { output, results } = await clone.push('main')
    expect(results).toMatchObject([{ status: 'live' }])
    expect(output).toMatch(/GET \/ on port 8080 → connection refused *\n.*GET \/ on port 8080 → 200 OK/)
    // The app sleeps from its start on, the check counts from its own: which second it is depends on the machine.
    expect(output).toMatch(/check [3-9]\.\d s/)
    await clone.remove()
  })

  it('release commands run in order; a failing or endless one ends the deploy before anything is swapped', async () => {
    const clone = await makeClone(slipway, 'migrates')
    const release = (...commands: string[]): string =>
      `${config}release:\n${commands.map((c) => `  - ${c}\n`).join('')}`
    await clone.write({
      ...page('migrated'),
      'slipway.yml': release(
        '{ label: first, run: "echo one in $STAGE as $SLIPWAY_RELEASE" }',
        '{ run: "sleep 0.2; echo two >&2" }',
      ),
    })
    const good = await clone.push('main')
    expect(good.results).toMatchObject([{ status: 'live' }])
    expect(good.output).toMatch(
      /Running 2 release commands[\s\S]*first: echo one[\s\S]*one in test as v1[\s\S]*two[\s\S]*Starting v1/,
    )
    const before = await listHoldings(slipway)

    await clone.write({
      'www/index.html': 'no\n',
      'slipway.yml': release(
        '{ label: tables, run: "echo altered" }',
        '{ label: data, run: "echo half; exit 9" }',
        '{ label: never, run: "echo never" }',
      ),
    })
    const failed = await clone.push('main')
    expect(failed.results).toMatchObject([{ release: 'v2', status: 'failed' }])
    expect(failed.output).toMatch(
      / altered[\s\S]* half[\s\S]* !     The release command “data” failed with exit code 9\. Release commands ran, not swapped\./,
    )
    expect(failed.output).not.toMatch(/never|Starting v2/)

    await clone.write({ 'slipway.yml': release('{ label: forever, run: "echo waiting; sleep 60", timeout: 1s }') })
    const endless = await clone.push('main')
    expect(endless.results).toMatchObject([{ release: 'v3', status: 'failed' }])
    expect(endless.output).toMatch(
      / !     The release command “forever” took longer than its limit of 1 s and was stopped\./,
    )
    expect((await slipway.get('test--migrates.localhost')).body).toBe('migrated\n')
    expect({ ...(await listHoldings(slipway)), images: 0 }).toEqual({ ...before, images: 0 })
    await clone.remove()
  })
})

const literally = (text: string): RegExp => new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
