import { execFile } from 'node:child_process'

/** A quarter of the unit's WatchdogSec. */
const aliveEveryMs = 30_000

/**
 * Tells systemd that the server is ready, and from then on that it lives: sent from the event loop, so a server that does
 * nothing any more falls silent. Node has no datagram sockets of Unix; systemd's own small program sends. Nothing happens
 * where no systemd asked for it.
 */
export function notifyReady(env: Readonly<Record<string, string | undefined>> = process.env): void {
  if (env['NOTIFY_SOCKET'] === undefined) return
  const notify = (state: string): void => {
    // One that cannot be sent is missed by systemd, which then does what it is for.
    execFile('systemd-notify', [state], { env: { ...env }, timeout: 10_000 }, () => undefined).unref()
  }
  notify('READY=1')
  setInterval(() => notify('WATCHDOG=1'), aliveEveryMs).unref()
}
