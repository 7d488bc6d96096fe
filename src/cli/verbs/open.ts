import { spawn } from 'node:child_process'
import type { Command } from 'commander'
import type { Environment } from '../api-types.ts'
import { exits, Failure } from '../failure.ts'
import {
  chooseEnvironment,
  type CommonOptions,
  environmentPath,
  type Run,
  type Session,
  withEnvironment,
  withExample,
  withJson,
} from '../session.ts'

export function addOpenVerb(program: Command, run: Run): void {
  const open = program
    .command('open')
    .argument('[env]', 'the environment (default: test)')
    .description('open an environment in the browser, or print its URL where there is none')
  withExample(
    withJson(withEnvironment(open)).action(run<[string | undefined], CommonOptions>(openEnvironment)),
    'slipway open live',
  )
}

async function openEnvironment(session: Session, [name]: [string | undefined], options: CommonOptions): Promise<void> {
  const path = environmentPath(await session.app(), chooseEnvironment(name, options))
  const { url } = await session.client().call<Environment>('GET', path)
  // A server that was taken over must not start anything but a web page.
  if (!URL.canParse(url) || !['http:', 'https:'].includes(new URL(url).protocol)) {
    throw new Failure(exits.failed, 'The server gave something that is not a web address.')
  }
  session.out.data({ url })
  if (!session.out.json && process.stdout.isTTY && hasBrowser(session.env)) startBrowser(new URL(url).href)
  session.out.line(url)
}

function hasBrowser(env: NodeJS.ProcessEnv): boolean {
  return process.platform === 'darwin' || (env['DISPLAY'] ?? '') !== '' || (env['WAYLAND_DISPLAY'] ?? '') !== ''
}

function startBrowser(url: string): void {
  const command = process.platform === 'darwin' ? 'open' : 'xdg-open'
  const browser = spawn(command, [url], { stdio: 'ignore', detached: true })
  // Without the program the printed URL is what there is.
  browser.on('error', () => undefined)
  browser.unref()
}
