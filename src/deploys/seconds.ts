/** How long, for people: `4.1 s`, `1 min`, `2 min 5 s`. */
export function seconds(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  const all = Math.round(ms / 1000)
  return `${Math.floor(all / 60)} min${all % 60 === 0 ? '' : ` ${all % 60} s`}`
}
