import { SlipwayError } from '../../kernel/errors.ts'

/** What `git update-ref` says when it refuses → one short sentence that fits behind `! [remote rejected] … (`. */
const reasons: readonly (readonly [RegExp, string])[] = [
  [/is at [0-9a-f]+ but expected|reference already exists/, 'someone else pushed in the meantime; fetch first'],
  [/unable to resolve reference/, 'it does not exist any more; fetch first'],
  [/' exists; cannot create|cannot process .* at the same time/, 'another branch’s name is the beginning of this name'],
  [/non-commit object/, 'a branch must point to a commit'],
  [/nonexistent object/, 'the object it points to did not arrive'],
  [/Unable to create '.*\.lock'/, 'another push is moving it just now; try again'],
]

export function explainRefFailure(stderr: string): SlipwayError {
  const known = reasons.find(([pattern]) => pattern.test(stderr))?.[1]
  return new SlipwayError('conflict', known ?? 'Git could not move it', {
    evidence: stderr.split('\n').filter((line) => line !== ''),
  })
}

/** Whether it refused because of HEAD, which no push moves: where HEAD leads had just changed. */
export function isAboutHead(stderr: string): boolean {
  return stderr.includes("cannot lock ref 'HEAD'")
}
