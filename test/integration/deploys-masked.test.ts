import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { SlipwayError } from '../../src/kernel/errors.ts'
import { Secret } from '../../src/kernel/secret.ts'
import { makeMasks, makeSecretsSource, openKeys } from '../../src/vars/index.ts'
import { secretKeyOf } from '../../src/vars/system-variables.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine
beforeEach(async () => {
  spine = await makeSpine()
})
afterEach(() => spine.close())

const secret = 'hunter2/and "more"'
const set = async (name: string, value: string, flags: object = { secret: true }): Promise<void> => {
  const { id } = await spine.environment('test')
  await spine.vars.change(id, { set: [{ name, value, ...flags }], unset: [] }, 'ada')
}
/** Every text that the database keeps of deploys. */
async function kept(): Promise<string> {
  const rows = await spine.db.query(
    `select text from deploy_log union all select coalesce(error_message, '') from deploys
     union all select data::text from events`,
  )
  return JSON.stringify(rows)
}

describe('a secret in a deploy', () => {
  it('hides nothing of the line that scripts read', async () => {
    await set('LIKE_IT', 'environment=test')
    const id = await spine.deploy('test', commitOf('a'))
    expect((await spine.log(id)).at(-1)).toBe(`machine: slipway: deploy=${id} environment=test release=v1 status=live`)
  })

  it('is masked in what builds and release commands print, in other forms, too', async () => {
    await set('PASSWORD', secret)
    await set('PLAIN', 'not-a-secret', {})
    const { id } = await spine.environment('test')
    const own = secretKeyOf(new Secret(spine.tools.installationKey.reveal()), id).reveal()
    spine.builder.work = async (_id, { onLine }) => {
      onLine(`raw ${secret} and not-a-secret`)
      onLine(`url ${encodeURIComponent(secret)}`)
      onLine(`base64 ${Buffer.from(`user:${secret}`).toString('base64')}`)
      onLine(`key ${own}`)
    }
    spine.config = {
      ...spine.config,
      releaseCommands: [
        {
          label: 'migrations',
          run: `printf '%s\\n' 'with ${JSON.stringify(secret)}'`,
          on: ['deploy'],
          timeoutMs: 10_000,
        },
      ],
    }
    const log = (await spine.log(await spine.deploy('test', commitOf('a')))).join('\n')
    expect(log).toContain('raw [masked] and not-a-secret')
    expect(log).toContain('url [masked]')
    expect(log).toContain('key [masked]')
    expect(log).toContain('output: with "[masked]"')
    const all = await kept()
    for (const form of [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1), own])
      expect(all).not.toContain(form)
  })

  it('is masked in errors: in the log, in the deploy and in what is told of it', async () => {
    await set('PASSWORD', secret)
    spine.builder.work = async () => {
      throw new SlipwayError('build_failed', `It said ${secret}.`, {
        hint: `Is ${secret} right?`,
        evidence: [`! ${secret}`],
      })
    }
    const id = await spine.deploy('test', commitOf('a'))
    const log = (await spine.log(id)).join('\n')
    expect(log).toContain('error: It said [masked].')
    expect((await spine.deploys.get(id)).error?.message).toBe('It said [masked].')
    expect(await kept()).not.toContain('hunter2')
  })

  it('stays masked when it was changed or removed since, as long as something may print it', async () => {
    await set('PASSWORD', secret)
    const first = await spine.deploy('test', commitOf('a'))
    await spine.log(first)
    await set('PASSWORD', 'another-password')
    const release = (await spine.deploys.get(first)).releaseId ?? 0
    // As after a restart: nothing is known yet.
    const keys = await openKeys(spine.db, new Secret('spine-test-installation-key-000000'))
    const masker = await makeMasks(makeSecretsSource({ db: spine.db, keys })).ofRelease(release)
    expect(masker.mask(`${secret}, another-password`)).toBe('[masked], [masked]')
  })

  it('is looked for as long as its release is in use', async () => {
    await set('PASSWORD', secret)
    await spine.log(await spine.deploy('test', commitOf('a')))
    await set('PASSWORD', 'another-password')
    const { id } = await spine.environment('test')
    const keys = await openKeys(spine.db, new Secret('spine-test-installation-key-000000'))
    const inUse = async () => [...(await makeSecretsSource({ db: spine.db, keys }).inUse(id))]
    expect(await inUse()).toEqual([expect.anything(), 'another-password', secret])
    await spine.db.query(`update instances set state = 'retired'`)
    expect(await inUse()).toEqual([expect.anything(), 'another-password'])
  })

  it('is masked on both sides of where a build’s long line was cut', async () => {
    await set('PASSWORD', secret)
    spine.builder.work = async (_id, { onLine }) => {
      onLine(`${'.'.repeat(8192 - 9)}${secret.slice(0, 9)}`)
      onLine(`${secret.slice(9)} behind`)
    }
    const log = (await spine.log(await spine.deploy('test', commitOf('a')))).filter((line) =>
      /\.\.\.|behind/.test(line),
    )
    expect(log).toEqual([expect.stringMatching(/\.\[masked\]$/), 'output: [masked] behind'])
  })

  it('is one from the moment on in which it is set', async () => {
    let first = true
    spine.builder.work = async (_id, { onLine }) => {
      if (first) await set('LATE', 'set-while-it-builds')
      first = false
      onLine('now set-while-it-builds')
    }
    const log = (await spine.log(await spine.deploy('test', commitOf('a')))).join('\n')
    expect(log).toContain('now [masked]')
  })
})
