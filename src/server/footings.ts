import type { ReadinessProbe } from '../http/needs.ts'
import { SlipwayError } from '../kernel/errors.ts'
import type { Ground } from './lay-ground.ts'

/** Something that Slipway stands on, and how it is asked whether it is there; that rejects when it is not. */
export interface Footing extends ReadinessProbe {
  readonly name: 'database' | 'engine' | 'proxy'
}

export function footingsOf({ db, engine, proxy }: Pick<Ground, 'db' | 'engine' | 'proxy'>): readonly Footing[] {
  return [
    { name: 'database', check: async () => void (await db.query('select 1')) },
    { name: 'engine', check: async () => void (await engine.call('ping', (docker) => docker.ping())) },
    {
      name: 'proxy',
      async check() {
        if ((await proxy.router.startedAt()) === null)
          throw new SlipwayError('unavailable', 'The proxy does not answer on its socket.')
      },
    },
  ]
}
