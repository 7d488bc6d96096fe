import type { ServerPlace } from '../../src/postgres/index.ts'

const term = (): Promise<void> => Promise.resolve()

/** The place of a server that nobody else ever takes. */
export const heldPlace: ServerPlace = { term: () => term }
