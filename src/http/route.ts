import type { Request, Response } from 'express'
import type { z } from 'zod'
import type { Action, Principal } from '../accounts/index.ts'

/*
 * A route says everything about itself: what it takes, who may, what it does, what it answers. The same schemas
 * validate and make /api/v1/openapi.json. `mount.ts` runs: authenticate → validate → authorise → handle → present.
 */

interface Call<P, Q, B> {
  readonly principal: Principal
  readonly params: P
  readonly query: Q
  readonly body: B
  /** Of the header `If-Match`; null without one. */
  readonly ifVersion: number | null
  readonly request: Request
}

type Answer<T> =
  | {
      readonly json: T
      readonly location?: string
      /** What `If-Match` can name later. */
      readonly version?: number
    }
  | { readonly stream: (res: Response) => Promise<void> }

interface Success<R extends z.ZodType> {
  readonly status: 200 | 201 | 202
  readonly description: string
  /** What the JSON looks like. Anything that does not fit is an internal error, not an answer. */
  readonly schema?: R
  /** Other media types that this address gives. */
  readonly streams?: readonly string[]
}

export interface RouteSpec<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType> {
  readonly method: 'get' | 'post' | 'patch' | 'delete'
  /** Below /api/v1, with `:names`. */
  readonly path: string
  readonly tag: string
  readonly summary: string
  readonly action: Action
  readonly params: P
  readonly query: Q
  readonly body: B
  /** Its answers carry an ETag; changes are refused when `If-Match` names another one. */
  readonly versioned?: boolean
  readonly success: Success<R>
  /** The app that this call is about, for the policy; null for none. */
  readonly about: (params: z.output<P>) => string | null | Promise<string | null>
  readonly handle: (call: Call<z.output<P>, z.output<Q>, z.output<B>>) => Promise<Answer<z.input<R>>>
}

/** A route whose types are checked already. */
export type Route = RouteSpec<z.ZodType, z.ZodType, z.ZodType, z.ZodType>

export function defineRoute<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType>(
  spec: RouteSpec<P, Q, B, R>,
): Route {
  return spec
}
