import { pushHello } from './demo.ts'
import type { Ground } from './lay-ground.ts'
import type { Modules } from './make-modules.ts'
import { welcomeText } from './welcome.ts'

interface Greeting {
  /** Whether a first start deploys the app `hello`. */
  readonly demo: boolean
  readonly sinceBegin: () => number
}

/** Says on the console where Slipway is and what to do first; on the first start with an app that is live already. */
export async function greet(ground: Ground, modules: Modules, { demo, sinceBegin }: Greeting): Promise<void> {
  const { settings, root, secrets } = ground
  const controlUrl = modules.addresses.url(settings.controlHost)
  const isFirst = (await modules.environments.listApps()).length === 0
  // What a keeper's journal holds is read by more people than a console.
  const showToken = settings.keptBy === null && (secrets.madeAdminToken || (isFirst && settings.adminToken === null))
  const demoUrl = demo && isFirst ? await pushDemo(`${controlUrl}/hello.git`, ground, modules) : null
  process.stdout.write(
    welcomeText({
      root,
      dataDir: settings.dataDir,
      controlUrl,
      demoUrl,
      newToken: showToken ? secrets.adminToken : null,
      startedInMs: sinceBegin(),
    }),
  )
}

/** The first app, by a real push. Null when it did not go live: git or the deploy has said why, and Slipway runs all the same. */
async function pushDemo(remote: string, { root, secrets }: Ground, modules: Modules): Promise<string | null> {
  const { environments, deploys, addresses } = modules
  if (!(await pushHello({ root, remote, token: secrets.adminToken }))) return null
  const { id, label } = await environments.get('hello', 'test')
  const [newest] = await deploys.list(id, { limit: 1 })
  return newest?.state === 'live' ? addresses.url(addresses.environmentHost(label)) : null
}
