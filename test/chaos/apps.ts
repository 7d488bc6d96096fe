import { page } from '../support/slipway.ts'
import type { PushKind } from './plan-round.ts'

const config = 'drain: 1s\nstop: 1s\nhealth: { deadline: 20s }\n'
/** Each run of it says another line: two of them in one deploy's log would be two runs. */
export const commandTrace = /^ran [0-9a-f]{8}-[0-9a-f-]{27}$/
const command =
  'release: [{ label: migrate, run: "echo ran $(cat /proc/sys/kernel/random/uuid); sleep 1; echo migrated" }]\n'
const serve = 'exec httpd -f -p $PORT -h /www'
const dockerfile = (start: string): string =>
  `FROM slipway-test/busybox:1\nCOPY www /www\nCMD ["/bin/sh", "-c", "${start}"]\n`

/** An app that answers `text`, or that cannot. */
export function pageOf(kind: PushKind, text: string): Record<string, string> {
  switch (kind) {
    case 'page':
      return page(text, { 'slipway.yml': config })
    case 'release command':
      return page(text, { 'slipway.yml': config + command })
    case 'slow start':
      return page(text, { 'slipway.yml': config, Dockerfile: dockerfile(`sleep 2; ${serve}`) })
    case 'broken build':
      return page(text, { 'slipway.yml': config, Dockerfile: `${dockerfile(serve)}RUN sleep 1; exit 3\n` })
    case 'broken start':
      return page(text, { 'slipway.yml': config, Dockerfile: dockerfile('sleep 1; exit 7') })
  }
}

export const canWork = (kind: PushKind): boolean => !kind.startsWith('broken')
