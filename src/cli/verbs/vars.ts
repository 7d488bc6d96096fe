import type { Command } from 'commander'
import { type CommonOptions, type Run, withEnvironment, withExample, withJson } from '../session.ts'
import { type ChangeOptions, importVariables, setVariables, unsetVariables } from '../vars/change.ts'
import { exportVariables, getVariable, listVariables } from '../vars/read.ts'
import { type RevokeOptions, revokeVariable } from '../vars/revoke.ts'
import { rotateKey } from '../vars/rotate-key.ts'

export function addVarsVerbs(program: Command, run: Run): void {
  const vars = program
    .command('vars')
    .description('the variables of an environment; a change is applied by the next deploy')
  const verb = (name: string, description: string): Command =>
    withJson(withEnvironment(vars.command(name).description(description)))
  const withDeploy = (command: Command): Command => command.option('--deploy', 'deploy at once, and follow it')
  const withFlags = (command: Command): Command =>
    withDeploy(
      command
        .option('--secret', 'never show the value again, and mask it in logs')
        .option('--no-secret', 'an ordinary one')
        .option('--build', 'builds get it, too, as a build argument: it stays readable in the image’s history')
        .option('--no-build', 'builds do not get it'),
    )

  withExample(
    verb('list', 'all, with their values masked; one as it is: vars get, all: vars export')
      .argument('[env]', 'the environment (default: test)')
      .action(run<[string | undefined], CommonOptions>(listVariables)),
    'slipway vars list live',
  )
  withExample(
    verb('get', 'the value of one, byte for byte').argument('<name>').action(run<[string], CommonOptions>(getVariable)),
    'slipway vars get -e live DATABASE_URL',
  )
  withExample(
    withFlags(verb('set', 'set some; of a name alone the value is asked, or read from standard input'))
      .argument('<name[=value]...>')
      .option('--raw', 'keep a line end at the end of standard input')
      .action(run<[string[]], ChangeOptions>(setVariables)),
    'slipway vars set -e live GREETING=hello LANG=de --deploy',
    'slipway vars set -e live STRIPE_KEY --secret < key.txt',
  )
  withExample(
    withDeploy(verb('unset', 'remove some'))
      .argument('<name...>')
      .action(run<[string[]], ChangeOptions>(unsetVariables)),
    'slipway vars unset -e live GREETING',
  )
  withExample(
    withFlags(verb('import', 'set those of a .env file; others stay as they are'))
      .argument('[file]', 'the file (default: standard input)')
      .action(run<[string | undefined], ChangeOptions>(importVariables)),
    'slipway vars import -e live production.env',
  )
  withExample(
    verb('export', 'all as a .env file, which imports back byte for byte; of secrets a comment')
      .argument('[env]', 'the environment (default: test)')
      .action(run<[string | undefined], CommonOptions>(exportVariables)),
    'slipway vars export live > live.env',
  )
  addRevocationVerb(verb('revoke', revokes), run)
  addRotationVerb(vars, run)
}

const revokes =
  'replace a value that leaked, in all environments of the app and in all their releases: nothing starts with it again'

function addRevocationVerb(revoke: Command, run: Run): void {
  withExample(
    revoke
      .argument('<name[=value]>', 'of a name alone the new value is asked, or read from standard input')
      .option('--remove', 'no new value: the variable is removed wherever it had the old one')
      .option('--of <release>', 'the value that this release of the environment has (default: that of the environment)')
      .option('--raw', 'keep a line end at the end of standard input')
      .action(run<[string], RevokeOptions>(revokeVariable)),
    'slipway vars revoke -e live STRIPE_KEY < new-key.txt',
    'slipway vars revoke -e live STRIPE_KEY --remove',
  )
}

function addRotationVerb(vars: Command, run: Run): void {
  const rotate = vars
    .command('rotate-key')
    .description('seal the variables of all environments with a new key, while everything goes on; for the admin')
    .option('--secret-key', 'also put another secret key in the place of SLIPWAY_SECRET_KEY: asked, or standard input')
  withExample(
    withJson(rotate).action(run<[], CommonOptions & { secretKey?: boolean }>(rotateKey)),
    'slipway vars rotate-key',
    'openssl rand -base64 48 | slipway vars rotate-key --secret-key',
  )
}
