import type { ReleaseAnswer, WakeRefusal } from '../deploys/index.ts'
import { shortCommit } from '../kernel/short-commit.ts'
import { escapeHtml } from './escape-html.ts'

/** What visitors of a release that does not run are told. */
export interface ReleasePage {
  readonly status: 404 | 410 | 503
  readonly title: string
  readonly lines: readonly string[]
  readonly link: { readonly url: string; readonly text: string } | null
  readonly retryAfterS: number | null
  /** It loads itself again after `retryAfterS`. */
  readonly reloads: boolean
}

const usual = { lines: [], link: null, retryAfterS: null, reloads: false }

/** `unavailable`: it could not be looked up. */
export function presentRelease(answer: ReleaseAnswer | { readonly kind: 'unavailable' }): ReleasePage {
  switch (answer.kind) {
    case 'unknown':
      return {
        ...usual,
        status: 404,
        title: 'There is no site at this address',
        lines: ['Nothing answers under this name here. Check the spelling of the address.'],
      }
    case 'unavailable':
      return {
        ...usual,
        status: 503,
        title: 'This release cannot be looked up at the moment',
        lines: ['Please try again in a few seconds.'],
        retryAfterS: 5,
      }
    case 'gone': {
      const { number, app, environment, commit, createdAt } = answer.release
      return {
        ...usual,
        status: 410,
        title: `v${number} is not kept any more`,
        lines: [
          `v${number} of ${environment} in ${app} was made on ${createdAt.toISOString().slice(0, 10)} from commit ${shortCommit(commit)}. Its image was removed, as those of old releases are.`,
          ...offerRebuild(answer),
        ],
        link: linkRebuilt(answer),
      }
    }
    case 'starting': {
      const { number } = answer.release
      return {
        ...usual,
        status: 503,
        title: `v${number} is starting`,
        lines: ['Nobody has used this release for a while. It is being started, which takes a few seconds.'],
        retryAfterS: 2,
        reloads: true,
      }
    }
    case 'ending': {
      const { number, drainLeftMs } = answer.release
      const leftS = Math.ceil(drainLeftMs / 1000)
      const limit = leftS === 0 ? '' : `, for which they have ${leftS} s more`
      return {
        ...usual,
        status: 503,
        title: `v${number} is being stopped`,
        lines: [`It finishes the requests that it had begun${limit}. After that this address starts it again.`],
        retryAfterS: 2,
        reloads: true,
      }
    }
    case 'refused':
      return { ...usual, status: 503, retryAfterS: 30, ...refusals[answer.why](answer) }
  }
}

type Refused = Extract<ReleaseAnswer, { kind: 'refused' }>
type Gone = Pick<Refused, 'release' | 'rebuiltUrl'>
type Told = Pick<ReleasePage, 'title' | 'lines'> & Partial<Pick<ReleasePage, 'link' | 'retryAfterS'>>

/** Unless somebody has. */
function offerRebuild({ release: { number, environment, app }, rebuiltUrl }: Gone): string[] {
  if (rebuiltUrl !== null) return []
  return [`Who may deploy can make it anew: slipway releases rebuild v${number} ${environment} -a ${app}`]
}

function linkRebuilt({ release: { rebuiltAs }, rebuiltUrl }: Gone): ReleasePage['link'] {
  return rebuiltUrl === null ? null : { url: rebuiltUrl, text: `It was made anew as v${rebuiltAs}` }
}

const refusals: Readonly<Record<WakeRefusal, (answer: Refused) => Told>> = {
  failed: ({ release: { number, app, environment } }) => ({
    title: `v${number} could not be started`,
    lines: [
      `It did not start, or did not pass its checks. Its log says more: slipway logs ${environment} -a ${app} --release v${number}`,
    ],
  }),
  image: (answer) => ({
    title: `v${answer.release.number} cannot be started any more`,
    lines: ['Somebody has removed its image from the server.', ...offerRebuild(answer)],
    link: linkRebuilt(answer),
  }),
  revoked: (answer) => ({
    title: `v${answer.release.number} is not started any more`,
    lines: ['Its image was built with a value that was revoked since.', ...offerRebuild(answer)],
    link: linkRebuilt(answer),
  }),
  memory: ({ release: { number } }) => ({
    title: `v${number} cannot be started now`,
    lines: ['The server has too little memory for another release. Please try again later.'],
  }),
  many: ({ release: { number, environment } }) => ({
    title: `v${number} cannot be started now`,
    lines: [
      `As many old releases of ${environment} run as may at once. Each ends when nobody has used it for a while.`,
    ],
  }),
  busy: ({ release: { number } }) => ({
    title: `v${number} cannot be started now`,
    lines: ['Too many others are being started. Please try again in a moment.'],
  }),
  away: ({ release: { number } }) => ({
    title: `v${number} cannot be started now`,
    lines: ['The server’s database or its Docker engine does not answer. Please try again in a moment.'],
    retryAfterS: 5,
  }),
}

const css =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto 0;padding:0 1.5rem;color:#222}' +
  'h1{font-size:1.4rem}p{color:#555}' +
  '@media(prefers-color-scheme:dark){body{background:#1b1b1b;color:#eee}p{color:#aaa}a{color:#8bf}}'

/** The page, and the one style sheet that its policy must allow. */
export function renderReleasePage({ title, lines, link, retryAfterS, reloads }: ReleasePage): {
  text: string
  css: string
} {
  const refresh = reloads && retryAfterS !== null ? `<meta http-equiv="refresh" content="${retryAfterS}">\n` : ''
  const linked = link === null ? '' : `<p><a href="${escapeHtml(link.url)}">${escapeHtml(link.text)}</a></p>\n`
  const text = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
${refresh}<title>${escapeHtml(title)}</title>
<style>${css}</style>
<h1>${escapeHtml(title)}</h1>
${lines.map((line) => `<p>${escapeHtml(line)}</p>\n`).join('')}${linked}</html>
`
  return { text, css }
}

export function renderReleaseText({ title, lines, link }: ReleasePage): string {
  const linked = link === null ? [] : [`${link.text}: ${link.url}`]
  return `${[`${title}.`, ...lines, ...linked].join('\n')}\n`
}
