import { SlipwayError } from './errors.ts'

// Control characters, and those that hide or turn round the text beside them.
const unsafe = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/

/** One line of words that a person tells others, safe to print anywhere. Throws `bad_request`; nothing of the text is in the message. */
export function parseSentence(value: string, { what, longest }: { what: string; longest: number }): string {
  const text = value.trim()
  const wrong = (why: string, hint: string): SlipwayError =>
    new SlipwayError('bad_request', `The ${what} ${why}.`, { hint })
  if (text === '') throw wrong('is empty', 'Say in a few words what others should know.')
  if ([...text].length > longest) {
    throw wrong(`has more than ${longest} characters`, 'Say it shorter, and link to the rest.')
  }
  if (unsafe.test(text) || !text.isWellFormed()) {
    throw wrong('holds line ends or other control characters', 'Write it as one line of text.')
  }
  return text
}
