import { SlipwayError } from '../kernel/errors.ts'

/** Makes the proxy hold what is recorded; `unavailable` when it cannot be told now. */
export function makeApplyRecorded(apply: (environmentId: number) => Promise<void>): typeof apply {
  return async (environmentId) => {
    await apply(environmentId).catch((cause: unknown) => {
      throw new SlipwayError(
        'unavailable',
        'This is recorded, but the proxy does not answer: it is not in force yet.',
        {
          hint: 'It will be as soon as the proxy answers again. What is wrong: slipway doctor',
          cause,
        },
      )
    })
  }
}
