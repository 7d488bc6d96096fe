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
  ['releases', 'What there is: slipway releases --help. To go back: slipway rollback ENV'],
  ['revert', 'To go back to what served before: slipway rollback ENV'],
  ['pipelines', 'What one environment serves into another: slipway promote FROM TO'],
  ['rebuild', 'slipway deploy ENV --force-rebuild, or of an old release: slipway releases rebuild v12 ENV'],
  ['redeploy', 'slipway deploy ENV; the same release anew: slipway restart ENV'],
  ['history', 'What was deployed: slipway releases list ENV. What was done: slipway activity'],
  ['freeze', 'slipway lock ENV --reason TEXT'],
])

/** Below a verb of ours. */
const elsewhereBelow = new Map<string, string>([
  ['releases rollback', 'slipway rollback ENV v12'],
  ['releases promote', 'slipway promote FROM TO'],
  ['releases info', 'slipway releases show v12 ENV'],
  ['deploys rollback', 'slipway rollback ENV'],
  ['deploys logs', 'slipway deploys log ID'],
])

/** What an option is called here. */
const optionElsewhere = new Map<string, string>([
  ...['deploy', 'promote', 'rollback'].map(
    (verb) => [`${verb} --dry-run`, 'To only look what would change: --plan'] as const,
  ),
  ...['--rebuild', '--force', '--no-cache', '--build'].map(
    (option) => [`deploy ${option}`, 'To build it although an image of it is kept: --force-rebuild'] as const,
  ),
  ...['--reuse', '--no-build', '--skip-build', '--skip-push'].map(
    (option) => [`deploy ${option}`, 'To take the image that serves: --reuse-image'] as const,
  ),
  ...['--force', '-f'].map(
    (option) => [`promote ${option}`, 'To take the image although its build variables differ: --anyway'] as const,
  ),
  ...['-m', '--message'].map((option) => [`lock ${option}`, 'Why it is locked: --reason TEXT'] as const),
  ...['-t', '--tail'].map((option) => [`logs ${option}`, 'To go on with what comes: -f'] as const),
  ...['-m', '--reason'].map((option) => [`maintenance on ${option}`, 'What visitors read: --message TEXT'] as const),
])

/** Commander's own words: “error: unknown command 'x'\n(Did you mean y?)”. */
export function usageFailure(text: string, words: string): { message: string; hint: string } {
  const [message = '', ...more] = text
    .replace(/^error: /, '')
    .trim()
    .split('\n')
  const foreign = /^unknown command '([\w:-]+)'/.exec(message)?.[1]
  const ours = foreign === undefined ? undefined : hintForVerb(words, foreign)
  const option = /^unknown option '(-[^']*)'/.exec(message)?.[1]
  const hint = ours ?? hintForOption(words, option) ?? more.join(' ').replace(/^\((.*)\)$/, '$1')
  return {
    message: `${message.charAt(0).toUpperCase()}${message.slice(1).replace(/\.$/, '')}.`,
    hint: hint === '' ? `See how: ${words} --help` : hint,
  }
}

function hintForVerb(words: string, foreign: string): string | undefined {
  if (words === 'slipway') return elsewhere.get(foreign.split(':', 1)[0] ?? '')
  // `slipway maintenance live on`
  if (words === 'slipway maintenance') return 'slipway maintenance on ENV, slipway maintenance off ENV'
  return elsewhereBelow.get(`${words.replace(/^slipway /, '')} ${foreign}`)
}

function hintForOption(words: string, option: string | undefined): string | undefined {
  if (option === undefined) return undefined
  if (words === 'slipway') return `Options stand behind the verb: slipway status ${option} …; see slipway --help`
  if (words === 'slipway run') return 'The command stands behind two hyphens: slipway run [ENV] -- COMMAND ARGUMENTS'
  return optionElsewhere.get(`${words.replace(/^slipway /, '')} ${option}`)
}
