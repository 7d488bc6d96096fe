import { SlipwayError } from './errors.ts'

// Control and format characters hide or turn round the text beside them; the last ones are letters that show nothing.
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u115f\u1160\u17b4\u17b5\u3164\uffa0]/u

// In a word or an emoji they are spelling, beside anything else they are hidden text.
const joiner = /(?<=(?!\p{ASCII})[\p{L}\p{M}\p{So}\p{Sk}])[\u200c\u200d](?=(?!\p{ASCII})[\p{L}\p{So}])/gu

/** One line of words that a person tells others, safe to print anywhere. Throws `bad_request`; nothing of the text is in the message. */
export function parseSentence(value: string, { what, longest }: { what: string; longest: number }): string {
  const text = value.trim()
  const wrong = (why: string, hint: string): SlipwayError =>
    new SlipwayError('bad_request', `The ${what} ${why}.`, { hint })
  if (text === '') throw wrong('is empty', 'Say in a few words what others should know.')
  if ([...text].length > longest) {
    throw wrong(`has more than ${longest} characters`, 'Say it shorter, and link to the rest.')
  }
  if (unsafe.test(text.replace(joiner, '')) || !text.isWellFormed()) {
    throw wrong('holds line ends or other control characters', 'Write it as one line of text.')
  }
  return text
}
