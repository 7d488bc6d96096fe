const removal = 'To remove an app or an environment: slipway apps remove NAME, slipway envs remove NAME'

/** What other platforms call it. Commander would take them for slips of the pen: of `destroy` it asks “Did you mean deploy?”. */
const elsewhere = new Map<string, string>([
  ['destroy', removal],
  ['config', 'Variables: slipway vars --help'],
  ...['create', 'init', 'info'].map((name) => [name, 'slipway apps create NAME, slipway apps show'] as const),
  ...['delete', 'remove', 'rm'].map((name) => [name, removal] as const),
  ...['ssh', 'shell', 'bash', 'exec', 'enter', 'console'].map(
    (name) => [name, 'A shell beside the app: slipway run ENV -- sh'] as const,
  ),
  ['stop', 'slipway envs stop ENV: its address says so, and nothing of it runs'],
  ['start', 'slipway envs start ENV'],
  ['maintenance', 'slipway maintenance --help'],
  ['push', 'Git does that: git push divio HEAD. The newest commit that is there already: slipway deploy ENV'],
  ...['tokens', 'keys', 'hosts', 'domains', 'certs', 'addons', 'pg'].map(
    (name) => [name, 'This version has none of that yet. What it has: slipway --help'] as const,
  ),
  ['env', 'Variables: slipway vars --help. Environments: slipway envs --help'],
  ['ps', 'What runs: slipway status. How many of it: slipway scale'],
])

/** Commander's own words: “error: unknown command 'x'\n(Did you mean y?)”. */
export function usageFailure(text: string, words: string): { message: string; hint: string } {
  const [message = '', ...more] = text
    .replace(/^error: /, '')
    .trim()
    .split('\n')
  const foreign = /^unknown command '([\w:-]+)'/.exec(message)?.[1]
  const ours = words === 'slipway' ? elsewhere.get(foreign?.split(':', 1)[0] ?? '') : undefined
  const option = /^unknown option '(-[^']*)'/.exec(message)?.[1]
  const hint = ours ?? hintForOption(words, option) ?? more.join(' ').replace(/^\((.*)\)$/, '$1')
  return {
    message: `${message.charAt(0).toUpperCase()}${message.slice(1).replace(/\.$/, '')}.`,
    hint: hint === '' ? `See how: ${words} --help` : hint,
  }
}

function hintForOption(words: string, option: string | undefined): string | undefined {
  if (option === undefined) return undefined
  if (words === 'slipway') return `Options stand behind the verb: slipway status ${option} …; see slipway --help`
  if (words === 'slipway run') return 'The command stands behind two hyphens: slipway run [ENV] -- COMMAND ARGUMENTS'
  if (words === 'slipway logs' && /^(?:-t|--tail)$/.test(option)) return 'To go on with what comes: -f'
  return undefined
}
