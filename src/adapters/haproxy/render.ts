import { type PageName, pages } from './pages.ts'

export function section(title: string, lines: readonly string[]): string {
  return `${title}\n${lines.map((line) => `    ${line}\n`).join('')}`
}

/** A page of ours. */
export function answer(name: PageName, file: string): string {
  return `http-request return status ${pages[name].status} errorfile ${file}`
}

/** The same, and it stands in the log of requests that failed, whatever its status. */
export function refuse(name: PageName, file: string): string {
  return `http-request deny status ${pages[name].status} errorfile ${file}`
}
