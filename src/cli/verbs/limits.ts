import type { Protection } from '../api-types.ts'
import { exits, Failure } from '../failure.ts'
import type { Session } from '../session.ts'

export interface LimitOptions {
  readonly maxRequests?: string
  readonly visitorRate?: string
  readonly visitorRequests?: string
}

type Limits = Partial<Protection['limits']>

/** Null when none is given. */
export function readLimits({ maxRequests, visitorRate, visitorRequests }: LimitOptions): Limits | null {
  const limits = {
    ...(maxRequests === undefined ? {} : { requests: readLimit('--max-requests', maxRequests) }),
    ...(visitorRate === undefined ? {} : { visitorRate: readLimit('--visitor-rate', visitorRate.replace(/\/s$/, '')) }),
    ...(visitorRequests === undefined ? {} : { visitorRequests: readLimit('--visitor-requests', visitorRequests) }),
  }
  return Object.keys(limits).length === 0 ? null : limits
}

function readLimit(option: string, text: string): number | null {
  if (text === 'none') return null
  if (/^[1-9][0-9]{0,6}$/.test(text)) return Number(text)
  throw new Failure(exits.wrongUse, `${option} takes a whole number from 1 on, or “none”, not “${text}”.`)
}

export async function setLimits(session: Session, environmentPath: string, limits: Limits): Promise<void> {
  const path = `${environmentPath}/protection`
  const { environment, limits: now } = await session.client().call<Protection>('PATCH', path, { limits })
  const told = [
    now.requests === null ? null : `${now.requests} open requests at each instance`,
    now.visitorRate === null ? null : `${now.visitorRate} requests a second of one visitor`,
    now.visitorRequests === null ? null : `${now.visitorRequests} open requests of one visitor`,
  ].filter((text) => text !== null)
  session.out.line(`Limits of ${environment}: ${told.length === 0 ? 'the usual ones' : told.join(', ')}.`)
}
