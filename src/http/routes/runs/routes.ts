import { z } from 'zod'
import { SlipwayError } from '../../../kernel/errors.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { environmentParams, name, nothing } from '../../schemas.ts'

const size = z.number().int().min(1).max(10_000)
const runParams = z.strictObject({ id: name })

/** What a command line may have: the kernel takes 128 KB for one word. */
const word = z
  .string()
  .max(100_000)
  .regex(/^[^\u0000]*$/, 'must hold no NUL character')

const newRun = z.strictObject({
  /** The program and its arguments, as they are: no shell reads them, and the image's ENTRYPOINT is left out. */
  command: z
    .array(word)
    .min(1)
    .max(1_000)
    .refine(([program]) => program !== '', 'must name a program'),
  /** Null: its input and its two outputs are plain pipes. */
  terminal: z
    .strictObject({
      columns: size,
      rows: size,
      /** What TERM says. */
      term: z
        .string()
        .regex(/^[\w.+-]{1,64}$/, 'must be the name of a kind of terminal')
        .nullable()
        .default(null),
    })
    .nullable()
    .default(null),
})

const begunRun = z.strictObject({
  id: z.string(),
  /** The number of the release that it runs in. */
  release: z.number().int(),
})

type Needs = Pick<HttpNeeds, 'environments' | 'runs'>

export function runRoutes({ environments, runs }: Needs): Route[] {
  return [
    defineRoute({
      method: 'post',
      path: '/apps/:app/environments/:environment/runs',
      tag: 'runs',
      summary:
        'Begins a command in a throw-away container of the release that serves. It starts when somebody connects to its attachment, which must follow within 30 s',
      action: 'runs.start',
      params: environmentParams,
      query: nothing,
      body: newRun,
      success: { status: 201, description: 'It may be connected to', schema: begunRun },
      about: ({ app }) => app,
      async handle({ params, body }) {
        const { id, appId, name: environment } = await environments.get(params.app, params.environment)
        const { command } = body
        const begun = await runs.begin({
          environment: { id, appId, app: params.app, name: environment },
          command,
          terminal: body.terminal === null ? null : { size: body.terminal, term: body.terminal.term },
        })
        return {
          json: { id: begun.id, release: begun.releaseNumber },
          location: `/api/v1/runs/${begun.id}/attachment`,
        }
      },
    }),
    defineRoute({
      method: 'get',
      path: '/runs/:id/attachment',
      tag: 'runs',
      summary:
        'Connects to a run, once, as a WebSocket. Binary messages are content behind one byte: 0 input (from the client), 1 output, 2 error output. Text messages are JSON: the client says {"type":"end"} (of input), {"type":"signal","name":"SIGINT"}, {"type":"size","columns":80,"rows":24}; the server says started, and last exit (with exitCode) or failed (with code, detail, hint). Either side sends at most 1 MiB of content and then as much as the other says it has room for: {"type":"more","bytes":262144}. Whoever hangs up ends the command',
      action: 'runs.start',
      params: runParams,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'Never: it is answered with 101, or with a problem' },
      about: ({ id }) => runs.appOf(id),
      handle() {
        throw new SlipwayError('bad_request', 'This address takes WebSocket connections only.')
      },
    }),
  ]
}
