import { SlipwayError } from '../kernel/errors.ts'

/** Who is asking. One kind for now; people, deploy tokens and roles come here. */
export interface Principal {
  readonly name: string
  readonly role: 'admin'
  /** From where, as the door saw it: `cli 203.0.113.9`. */
  readonly origin?: string
}

export type Action =
  | 'apps.read'
  | 'apps.create'
  | 'apps.remove'
  | 'git.read'
  | 'git.push'
  | 'environments.add'
  | 'environments.change'
  | 'environments.lock'
  | 'environments.maintain'
  | 'vars.read'
  | 'vars.change'
  | 'vars.revoke'
  | 'vars.rotate-key'
  | 'environments.remove'
  | 'environments.stop'
  | 'deploys.request'
  | 'deploys.cancel'
  | 'releases.pin'
  | 'runs.start'
  | 'server.read'
  | 'server.repair'

/** The one place that says who may do what. Denies by default. */
export function may(principal: Principal | null, _action: Action, _app: string | null): boolean {
  return principal?.role === 'admin'
}

/** Throws `not_signed_in` or `not_allowed`; every way in from outside calls it. */
export function assertMay(
  principal: Principal | null,
  action: Action,
  app: string | null,
): asserts principal is Principal {
  if (principal === null) {
    throw new SlipwayError('not_signed_in', 'A token is needed.', { hint: 'Sign in with: slipway login' })
  }
  if (!may(principal, action, app)) {
    throw new SlipwayError(
      'not_allowed',
      `${principal.name} may not do this (${action}${app === null ? '' : ` on ${app}`}).`,
    )
  }
}
