import type { Command } from 'commander'
import { type CommonOptions, type Run, type Session, withExample, withJson } from '../session.ts'

export function addVersionVerb(program: Command, run: Run): void {
  const version = program.command('version').description('the versions of this command and of the server')
  withExample(withJson(version).action(run<[], CommonOptions>(showVersion)), 'slipway version')
}

async function showVersion({ clientOrNull, out, version }: Session): Promise<void> {
  const client = clientOrNull()
  const server = await client?.call<{ version: string }>('GET', '/server').then(
    (answer) => answer.version,
    () => null,
  )
  out.data({ version, server: client === null ? null : { url: client.origin, version: server ?? null } })
  out.line(`slipway ${version}`)
  if (client !== null) out.line(`server  ${server ?? 'does not answer, or not to you'} (${client.origin})`)
}
