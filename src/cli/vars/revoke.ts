import { parseVariableName, parseVariableValue } from '../../kernel/variables.ts'
import type { Revoked } from '../api-types.ts'
import { exits, Failure } from '../failure.ts'
import type { Output } from '../output.ts'
import { readRelease } from '../release-words.ts'
import type { CommonOptions, Session } from '../session.ts'
import { askValue, checked } from './input.ts'
import { placeOf } from './read.ts'

export interface RevokeOptions extends CommonOptions {
  readonly remove?: boolean
  readonly of?: string
  readonly raw?: boolean
}

export async function revokeVariable(session: Session, [given]: [string], options: RevokeOptions): Promise<void> {
  const at = given.indexOf('=')
  const name = checked(() => parseVariableName(at === -1 ? given : given.slice(0, at)))
  if (options.remove === true && at !== -1) {
    throw new Failure(exits.wrongUse, `A new value or --remove? Give one of them. Nothing was changed.`)
  }
  const { app, environment, path } = await placeOf(session, undefined, options)
  const value = at === -1 ? null : given.slice(at + 1)
  const of = options.of === undefined ? {} : { of: readRelease(options.of) }
  const next =
    options.remove === true
      ? null
      : (value ?? (await askValue(name, options.raw === true, 'If there is no new one: --remove')))
  const revoked = await session.client().call<Revoked>('POST', `${path}/${encodeURIComponent(name)}/revocation`, {
    ...(next === null ? { remove: true } : { value: checked(() => parseVariableValue(name, next)) }),
    ...of,
  })
  session.out.data(revoked)
  tellRevoked(session.out, revoked, { app, environment, isRemoved: next === null })
}

function tellRevoked(
  out: Output,
  { name, environments, begun, goingOn, images }: Revoked,
  { app, environment, isRemoved }: { app: string; environment: string; isRemoved: boolean },
): void {
  const changed = environments.filter(({ variable }) => variable).map((its) => its.environment)
  const releases = environments.filter((its) => its.releases > 0)
  const counts = releases.map((its) => `${its.environment} ${its.releases}`).join(', ')
  const where = [
    ...(changed.length === 0 ? [] : [`the variables of ${changed.join(', ')}`]),
    ...(counts === '' ? [] : [`releases (${counts})`]),
  ]
  out.line(
    `Revoked the value of ${name} that ${environment} of ${app} had: ${isRemoved ? 'removed from' : 'replaced in'} ${where.join(' and ')}.`,
  )
  const built = new Set(images.first.map((image) => `${image.environment} ${image.release}`))
  for (const { environment: its, running } of environments) {
    const serving = running.find(({ serves }) => serves)
    if (serving === undefined) continue
    // What the image holds comes back with every start of it.
    const verb = built.has(`${its} ${serving.release}`) ? 'deploy' : 'restart'
    out.line(
      `${its} still runs with the old value (${serving.release}). Start it anew: slipway ${verb} ${its} -a ${app}`,
    )
  }
  for (const { deploy, environment: its, ends } of begun) {
    out.line(
      ends
        ? `Deploy ${deploy} to ${its} had begun with the old value, and ends. Deploy again: slipway deploy ${its} -a ${app}`
        : `Deploy ${deploy} goes live in ${its} with the old value at this moment. Then: slipway restart ${its} -a ${app}`,
    )
  }
  for (const { environment: its, release, job } of goingOn ?? []) {
    const what = job === null ? `A command that somebody runs in ${its}` : `The job ${job} of ${its}`
    out.line(`${what} (${release}) goes on with the old value until it ends.`)
  }
  if (goingOn === null)
    out.line('Whether jobs or runs go on with the old value is not known: the engine does not answer.')
  if (images.total > 0) {
    const more = images.total - images.first.length
    const named = images.first.map((image) => `${image.environment} ${image.release}`).join(', ')
    out.line(
      `Images that were built with it hold it as long as they are kept; nothing is gone back to, promoted or woken from them any more: those of ${named}${more > 0 ? ` and ${more} more` : ''}.`,
    )
  }
  out.note('What has it elsewhere is not reached from here: make the old value worthless where it came from.')
}
