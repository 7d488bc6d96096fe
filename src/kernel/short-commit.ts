/** A commit as people are shown it, the same everywhere: enough to be one of a kind, and to be given back to `--commit`. */
export function shortCommit(id: string): string {
  return id.slice(0, 10)
}
