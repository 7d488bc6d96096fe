import { join } from 'node:path'
import type { Secret } from '../kernel/secret.ts'

export interface Welcome {
  readonly root: string
  readonly dataDir: string
  readonly controlUrl: string
  /** The demo's address when it was just pushed. */
  readonly demoUrl: string | null
  /** Shown once, on the start that made it. */
  readonly newToken: Secret | null
  readonly startedInMs: number
}

/** The last word on the console. */
export const farewellText = '\n-----> Slipway has stopped. Sites go on serving; start it again with: npm start\n'

/** What the console says when Slipway is ready: where it is, and the lines that deploy the reader's own app. */
export function welcomeText(w: Welcome): string {
  const token = w.newToken === null ? `in ${join(w.dataDir, 'admin-token')}` : w.newToken.reveal()
  return [
    '',
    `=====> Slipway is ready at ${w.controlUrl} (after ${(w.startedInMs / 1000).toFixed(1)} s)`,
    ...(w.demoUrl === null ? [] : [`       hello is live at ${w.demoUrl}`]),
    `       Admin token: ${token}`,
    '',
    '       Deploy an app of your own, a Git repository with a Dockerfile:',
    `         alias slipway=${join(w.root, 'src/cli/slipway.mjs')}`,
    `         slipway login ${w.controlUrl}`,
    `         git remote add divio ${w.controlUrl}/my-app.git`,
    '         git push divio HEAD',
    '',
    '       Ctrl-C stops Slipway; sites go on serving, and the next start finds them again.',
    '',
  ].join('\n')
}
