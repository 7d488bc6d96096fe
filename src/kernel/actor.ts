import { AsyncLocalStorage } from 'node:async_hooks'

/** Who does something, and from where. */
export interface Actor {
  readonly name: string
  /** `cli 203.0.113.9`, `git …`, `api …`; null for what Slipway does itself. */
  readonly origin: string | null
}

/** What nobody asked for just now: looking after instances, the night's work, what a start finds. */
export const slipway: Actor = { name: 'slipway', origin: null }

const acting = new AsyncLocalStorage<Actor>()

/**
 * Everything that `work` does, and whatever it calls, is done by `actor`. Kept beside the call instead of in every argument:
 * what happens is told of deep inside transactions, and none of it may be left without a name. Doors begin it; work that
 * goes on in the background begins with `slipway`, lest it inherit the name of who happened to wake it.
 */
export function actAs<T>(actor: Actor, work: () => T): T {
  return acting.run(actor, work)
}

export function currentActor(): Actor {
  return acting.getStore() ?? slipway
}

interface Headers {
  readonly 'x-forwarded-for'?: string | string[] | undefined
  readonly 'user-agent'?: string | undefined
}

/**
 * Where a request came from. The proxy appends the address that it sees and lets earlier ones stay only when a proxy sent
 * them that it was told to trust: then the one before the last is the client’s.
 */
export function originOf(door: 'api' | 'git', headers: Headers): string {
  const list = [headers['x-forwarded-for'] ?? []].flat().join(',').split(',')
  const address = (list.at(-2) ?? list.at(-1) ?? '').trim()
  const way = door === 'api' && headers['user-agent']?.startsWith('slipway-cli/') === true ? 'cli' : door
  return /^[0-9a-f.:]{2,45}$/i.test(address) ? `${way} ${address}` : way
}
