import type { Snapshot } from './release-variables.ts'

/** Names of the variables that a build would get in one of two places with another value than in the other, or not at all. */
export function listOtherBuildVariables(one: Snapshot, other: Snapshot): string[] {
  const [before, after] = [marksOf(one), marksOf(other)]
  const names = new Set([...before.keys(), ...after.keys()])
  return [...names].filter((name) => before.get(name) !== after.get(name)).sort()
}

/** Equal marks are equal values, whatever environment they are of. */
function marksOf(snapshot: Snapshot): Map<string, string> {
  return new Map(snapshot.filter(({ build }) => build).map(({ name, mark }) => [name, mark.toString('hex')]))
}
