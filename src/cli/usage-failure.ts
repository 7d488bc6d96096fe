/** What other platforms call it. Commander would take them for slips of the pen: of `destroy` it asks “Did you mean deploy?”. */
const elsewhere = new Map([
  ['destroy', 'To remove an app or an environment: slipway apps remove NAME, slipway envs remove NAME'],
  ['config', 'Variables: slipway vars --help'],
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
  const hint = ours ?? more.join(' ').replace(/^\((.*)\)$/, '$1')
  return {
    message: `${message.charAt(0).toUpperCase()}${message.slice(1).replace(/\.$/, '')}.`,
    hint: hint === '' ? `See how: ${words} --help` : hint,
  }
}
