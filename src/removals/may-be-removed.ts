/** The two that apps usually start with stay as long as their app, and so does the one that is live. */
export function mayBeRemoved({ name, live }: { readonly name: string; readonly live: boolean }): boolean {
  return !live && name !== 'test' && name !== 'live'
}
