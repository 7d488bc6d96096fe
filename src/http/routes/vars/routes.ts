import { z } from 'zod'
import { mostVariables } from '../../../kernel/variables.ts'
import type { VariablesChange } from '../../../vars/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { environmentParams, flag, nothing } from '../../schemas.ts'
import { presentVariable, variableSchema } from './presenter.ts'

const variableList = z.strictObject({
  /** Counts the changes of the environment's variables; the same as the ETag. */
  version: z.number().int(),
  variables: z.array(variableSchema),
})

// What is a name, and what a value may hold, is told by the module, in words.
const variableName = z.string().max(1_000)
const named = {
  name: variableName,
  /** The version that the change is based on; null for a variable that was not there. */
  ifVersion: z.number().int().min(0).nullable().optional(),
}
const newVariable = z.strictObject({
  ...named,
  value: z.string(),
  secret: z.boolean().optional(),
  build: z.boolean().optional(),
})
const change = z
  .strictObject({
    set: z.array(newVariable).max(mostVariables).default([]),
    unset: z.array(z.strictObject(named)).max(mostVariables).default([]),
  })
  .refine(({ set, unset }) => set.length + unset.length > 0, 'nothing to change was given')

const changed = z.strictObject({
  version: z.number().int(),
  /** Names. What was the same already is in neither. */
  set: z.array(z.string()),
  unset: z.array(z.string()),
})

export function varsRoutes({ environments, vars }: Pick<HttpNeeds, 'environments' | 'vars'>): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/apps/:app/environments/:environment/vars',
      tag: 'vars',
      summary: 'The variables of an environment; with values=true also their values, but for secrets',
      action: 'vars.read',
      params: environmentParams,
      query: z.strictObject({ values: flag.default(false) }),
      body: nothing,
      versioned: true,
      success: { status: 200, description: 'The variables, by name', schema: variableList },
      about: ({ app }) => app,
      async handle({ params, query }) {
        const { id } = await environments.get(params.app, params.environment)
        if (query.values) {
          const { version, variables } = await vars.listValues(id)
          return { json: { version, variables: variables.map((each) => presentVariable(each, each.value)) }, version }
        }
        const { version, variables } = await vars.list(id)
        return { json: { version, variables: variables.map((each) => presentVariable(each, null)) }, version }
      },
    }),
    defineRoute({
      method: 'get',
      path: '/apps/:app/environments/:environment/vars/:name',
      tag: 'vars',
      summary: 'One variable with its value; secrets are not shown',
      action: 'vars.read',
      params: z.strictObject({ ...environmentParams.shape, name: variableName }),
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'The variable', schema: variableSchema },
      about: ({ app }) => app,
      async handle({ params }) {
        const { id } = await environments.get(params.app, params.environment)
        const found = await vars.get(id, params.name)
        return { json: presentVariable(found, found.value) }
      },
    }),
    defineRoute({
      method: 'patch',
      path: '/apps/:app/environments/:environment/vars',
      tag: 'vars',
      summary: 'Set and unset variables, all or none. The next deploy applies it',
      action: 'vars.change',
      params: environmentParams,
      query: nothing,
      body: change,
      versioned: true,
      success: { status: 200, description: 'What was changed', schema: changed },
      about: ({ app }) => app,
      async handle({ params, body, ifVersion, principal }) {
        const { id } = await environments.get(params.app, params.environment)
        const wish = { ...body, ...(ifVersion === null ? {} : { ifVersion }) } as VariablesChange
        const { version, set, unset } = await vars.change(id, wish, principal.name)
        return { json: { version, set: [...set], unset: [...unset] }, version }
      },
    }),
  ]
}
