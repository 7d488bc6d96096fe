import { shortestMasked } from '../../kernel/variables.ts'

/**
 * The forms in which programs print a secret: as it is (each of its lines, when it has several), URL-encoded, in JSON, and in
 * base64 wherever it may stand in what was encoded, also in lines. Those that are too short to be told from other text are left out.
 */
export function formsOf(value: string): string[] {
  if (value.length < shortestMasked) return []
  const forms = [
    ...[value, ...linesOf(value), ...urlForms(value), ...jsonForms(value)],
    ...base64Forms(value),
    ...base64Lines(value),
  ]
  return [...new Set(forms)].filter((form) => form.length >= shortestMasked)
}

/** Output comes in lines. A row of the same sign is in everybody's. */
function linesOf(value: string): string[] {
  if (!/[\r\n]/.test(value)) return []
  return value
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => !/^(.)\1*$/s.test(line))
}

function urlForms(value: string): string[] {
  const usual = encodeURIComponent(value)
  // A whole address is encoded so. Python, PHP and others encode these, too, or leave a slash; forms have + for a space; some write %2f.
  const strict = usual.replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
  const all = [usual, strict, encodeURI(value)].flatMap((form) => [
    form,
    form.replaceAll('%20', '+'),
    form.replaceAll('%2F', '/'),
  ])
  return all.flatMap((form) => [form, form.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase())])
}

function jsonForms(value: string): string[] {
  const usual = JSON.stringify(value).slice(1, -1)
  const escaped = (pattern: RegExp): string =>
    usual.replace(pattern, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
  // Python escapes all but ASCII, Go what HTML knows, PHP a slash.
  return [usual, escaped(/[\u0080-\uffff]/g), escaped(/[<>&\u2028\u2029]/g), usual.replaceAll('/', '\\/')]
}

/** Three bytes are four signs: what stands before a value decides which. The signs at its ends hold bits of its neighbours. */
function base64Forms(value: string): string[] {
  const bytes = Buffer.from(value)
  return [0, 1, 2].flatMap((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64')
    const own = text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6))
    return [own, own.replaceAll('+', '-').replaceAll('/', '_')]
  })
}

/** Programs break it into lines: base64(1) and mail at 76 signs, openssl and PEM at 64. The first line has a form already. */
function base64Lines(value: string): string[] {
  const text = Buffer.from(value).toString('base64').replace(/=+$/, '')
  return [76, 64].flatMap((length) => {
    const lines = []
    // What stands last may go on with bits of a line end.
    for (let at = length; at < text.length; at += length) lines.push(text.slice(at, at + length))
    return text.length % length === 0 ? lines : [...lines.slice(0, -1), (lines.at(-1) ?? '').slice(0, -1)]
  })
}
