import { encodePkt, flushPkt, type RefUpdate } from '../../git/index.ts'
import { PktReader } from '../../git/index.ts'

/*
 * git receive-pack's answer: packets whose first byte is the band. Band 1 is the report for the client program, band 2 is
 * text for the person (shown as `remote:` lines), a flush ends it (gitprotocol-pack(5)).
 */

const bandBytes = 60_000

/** The end of what git told the person is kept for the explanation. */
const keptChars = 4096

/** What to add to a report, by it and by what git has told the person before. */
type Explain = (report: string, said: string) => readonly string[]

/** Text for the person. */
export function remoteLines(lines: readonly string[]): Buffer {
  return band(2, Buffer.from(lines.map((line) => `${line}\n`).join('')))
}

/** A whole answer that refuses every ref for one reason. */
export function refusal(
  updates: readonly RefUpdate[],
  abilities: ReadonlySet<string>,
  told: { lines: readonly string[]; reason: string },
): Buffer {
  const report = Buffer.concat([
    encodePkt('unpack ok\n'),
    ...updates.map(({ ref }) =>
      encodePkt(Buffer.concat([Buffer.from('ng '), Buffer.from(ref, 'latin1'), Buffer.from(` ${told.reason}\n`)])),
    ),
    flushPkt,
  ])
  const reports = abilities.has('report-status') || abilities.has('report-status-v2')
  if (!abilities.has('side-band-64k')) return reports ? report : Buffer.alloc(0)
  return Buffer.concat([remoteLines(told.lines), ...(reports ? [band(1, report)] : []), flushPkt])
}

function band(number: 1 | 2, payload: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < payload.length; at += bandBytes) {
    parts.push(encodePkt(Buffer.concat([Buffer.from([number]), payload.subarray(at, at + bandBytes)])))
  }
  return Buffer.concat(parts)
}

/**
 * Passes git's answer on in whole packets and adds, before the report, what to do about a refusal that git only names. `finished`
 * tells whether the answer came to its end.
 */
export class AnswerReader {
  finished = false
  readonly #reader = new PktReader()
  readonly #explain: Explain
  #said = ''

  constructor(explain: Explain) {
    this.#explain = explain
  }

  pass(chunk: Buffer): Buffer {
    const out: Buffer[] = []
    for (const pkt of this.#reader.read(chunk)) {
      if (pkt.kind === 'flush') {
        this.finished = true
        out.push(flushPkt)
        continue
      }
      if (pkt.data[0] === 2) this.#said = (this.#said + pkt.data.toString('latin1', 1)).slice(-keptChars)
      const lines = pkt.data[0] === 1 ? this.#explain(pkt.data.toString('latin1', 1), this.#said) : []
      if (lines.length > 0) out.push(remoteLines(lines))
      out.push(encodePkt(pkt.data))
    }
    return Buffer.concat(out)
  }
}
