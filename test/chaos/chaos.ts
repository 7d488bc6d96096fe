import { parseArgs } from 'node:util'
import { randomInt } from 'node:crypto'
import { ensureBaseImage } from '../support/base-image.ts'
import { formatSummary, runChaos } from './run-chaos.ts'

/*
 * `npm run chaos -- --runs 50 [--seed S]`: breaks everything that Slipway stands on, at random, under load, and looks whether what it
 * promises still holds. A seed repeats what is done and when; how long the machine takes for it is another matter.
 */

const say = (line: string): void => void process.stdout.write(`${line}\n`)

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '50' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
  },
})
const from = Number(values.from)
const runs = Number(values.runs)
const seed = values.seed === undefined ? randomInt(1, 2 ** 31) : Number(values.seed)
if (![runs, from, seed].every(Number.isInteger) || runs < 1) {
  say(' !     --runs, --from and --seed are whole numbers.')
  process.exit(2)
}
const stop = new AbortController()
process.on('SIGINT', () => stop.abort())
process.on('SIGTERM', () => stop.abort())
say(`seed ${seed}`)
await ensureBaseImage()
const summary = await runChaos({ seed, runs, from, say, stopped: stop.signal })
for (const line of formatSummary(seed, summary)) say(line)
process.exit(summary.broken.length === 0 ? 0 : 1)
