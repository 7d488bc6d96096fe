import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import ts from 'typescript'

/*
 * Whatever Slipway waits for has a time limit. The engine is asked in one place (a rule of `npm run deps`), git's children are
 * started in one (the limits are part of its type), the database through one pool. This is for the rest: who starts a program
 * says how long it may take, and nobody opens a connection but those who are known to limit it.
 */

const src = resolve(__dirname, '../../src')
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
const read = (name: string): string => readFileSync(join(src, name), 'utf8')
const importersOf = (modules: RegExp): string[] =>
  files.filter((name) => modules.test(read(name).replaceAll(/^import type .*$/gm, ''))).sort()

/** Calls that start a program, as text. A promisified one counts too. */
function programsOf(name: string): string[] {
  const text = read(name)
  const alias = /const (\w+) = promisify\(execFile\)/.exec(text)?.[1] ?? 'execFile'
  const file = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true)
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    if (
      ts.isCallExpression(node) &&
      ['spawn', 'execFile', 'spawnSync', 'execFileSync', alias].includes(node.expression.getText())
    )
      found.push(withOptions(node, text))
    ts.forEachChild(node, visit)
  }
  visit(file)
  return found
}

/** The call with what its options were named before. */
function withOptions(call: ts.CallExpression, text: string): string {
  const named = call.arguments.flatMap((argument) =>
    [...argument.getText().matchAll(/\b[a-z]\w*\b/gi)].map(
      ([word]) => new RegExp(`const ${word} = \\{[^\\n]*`).exec(text)?.[0] ?? '',
    ),
  )
  return [call.getText(), ...named].join('\n')
}

/** Those that live on, or that a person at a terminal waits for. */
const unlimited: Record<string, string> = {
  'adapters/git-cli/spawn-git.ts': 'its own limits, by progress',
  'cli/verbs/open.ts': 'a browser',
  'postgres/cluster-process.ts': 'the database server',
  'setup/engine-start.ts': 'the engine',
  'setup/check.ts': 'a stage of npm test, in the foreground',
}

describe('a program that Slipway starts', () => {
  const starters = importersOf(/from 'node:child_process'/)

  it.each(starters)('has a time limit: %s', (name) => {
    const calls = programsOf(name)
    const without = calls.filter((call) => !/\btimeout\b/.test(call))
    expect(without.length).toBe(name in unlimited ? 1 : 0)
  })

  it('is one that can be found here', () => {
    expect(starters.flatMap(programsOf).length).toBeGreaterThanOrEqual(starters.length - 1)
    expect(Object.keys(unlimited).filter((name) => !starters.includes(name))).toEqual([])
  })
})

it('connections are opened by those only who limit how long they wait', () => {
  expect(importersOf(/import \{[^}]*\b(?:connect|createConnection)\b[^}]*\} from 'node:net'/)).toEqual([
    'adapters/haproxy/keeper.ts',
    'adapters/haproxy/request-log.ts',
    'adapters/haproxy/socket.ts',
    'runtime/wait-for-port.ts',
    'setup/local-doctor.ts',
  ])
  expect(importersOf(/import \{[^}]*\brequest\b[^}]*\} from 'node:https?'/)).toEqual([
    'adapters/docker/engine-requests.ts',
    'cli/client.ts',
    'runtime/checks/probe-http.ts',
    'server/doctor-checks.ts',
    'setup/engine-call.ts',
  ])
  expect(importersOf(/from 'pg'/)).toEqual(['postgres/cluster-start.ts', 'postgres/pool.ts'])
})
