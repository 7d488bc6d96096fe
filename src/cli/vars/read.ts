import { parseVariableName } from '../../kernel/variables.ts'
import type { Variable } from '../api-types.ts'
import { writeDotenv } from '../dotenv.ts'
import { ago, plain } from '../output.ts'
import { chooseEnvironment, type CommonOptions, environmentPath, type Session } from '../session.ts'
import { checked } from './input.ts'

export interface List {
  readonly version: number
  readonly variables: Variable[]
}

/** Where the variables of the environment in question are. */
export async function placeOf(session: Session, name: string | undefined, options: CommonOptions) {
  const [app, environment] = [await session.app(), chooseEnvironment(name, options)]
  return { app, environment, path: `${environmentPath(app, environment)}/vars` }
}

export async function listVariables(
  session: Session,
  [name]: [string | undefined],
  options: CommonOptions,
): Promise<void> {
  const { out } = session
  const { environment, path } = await placeOf(session, name, options)
  const { variables } = await session.client().call<List>('GET', path)
  out.data(variables)
  if (variables.length === 0)
    out.line(`${environment} has no variables of its own. Set some: slipway vars set NAME=value`)
  else out.table(['NAME', 'VALUE', 'FOR', 'CHANGED'], variables.map(rowOf))
}

function rowOf({ name, secret, build, changedBy, changedAt }: Variable): string[] {
  return [name, secret ? '(secret)' : '********', build ? 'run, build' : 'run', `${ago(changedAt)} by ${changedBy}`]
}

export async function getVariable(session: Session, [name]: [string], options: CommonOptions): Promise<void> {
  const { path } = await placeOf(session, undefined, options)
  const found = await session
    .client()
    .call<Variable>('GET', `${path}/${encodeURIComponent(checked(() => parseVariableName(name)))}`)
  session.out.data(found)
  if (!session.out.json) writeAsItIs(found.value ?? '')
}

export async function exportVariables(
  session: Session,
  [name]: [string | undefined],
  options: CommonOptions,
): Promise<void> {
  const { path } = await placeOf(session, name, options)
  const { variables } = await session.client().call<List>('GET', `${path}?values=true`)
  session.out.data(variables)
  const lines = variables.map(({ name, value }) =>
    value === null ? `# ${name} is secret: its value is not exported` : writeDotenv({ name, value }),
  )
  if (!session.out.json) writeAsItIs(lines.map((line) => `${line}\n`).join(''))
}

/** Into a file or a pipe byte for byte; to a terminal without what moves its cursor. */
function writeAsItIs(text: string): void {
  const { stdout } = process
  stdout.write(stdout.isTTY ? `${text.replace(/\n$/, '').split('\n').map(plain).join('\n')}\n` : text)
}
