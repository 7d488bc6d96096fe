import { randomInt } from 'node:crypto'
import { describe, expect, it } from '@jest/globals'
import { formatSummary, runChaos } from '../chaos/run-chaos.ts'

/** A few rounds of `npm run chaos`; CHAOS_SEED repeats those of another run. */
describe('chaos', () => {
  it('of a few rounds breaks no promise', async () => {
    const seed = Number(process.env['CHAOS_SEED'] ?? randomInt(1, 2 ** 31))
    const lines: string[] = [`seed ${seed}`]
    const summary = await runChaos({ seed, runs: 3, withinMs: 25_000, say: (line) => lines.push(line) })
    lines.push(...formatSummary(seed, summary))
    process.stderr.write(`${lines[0]}: npm run chaos -- --seed ${seed}\n`)
    if (summary.broken.length > 0) throw new Error(lines.join('\n'))
    expect(summary.rounds).toBeGreaterThan(0)
  }, 300_000)
})
