import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { SlipwayError } from '../../kernel/errors.ts'
import { proxyPaths } from './paths.ts'
import { proxyArguments, proxyEnvironment, type Replacing } from './launch.ts'

/*
 * A proxy that somebody else keeps (systemd, a container): it runs in the foreground below a master process, which starts it
 * anew with other settings when it is told so. Slipway writes its files, tells it to reload, and never starts or ends it.
 */

const answerMs = 3_000

export interface ForegroundProxy {
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** What to run in the foreground. With NOTIFY_SOCKET (systemd) it tells when it is ready. */
export function foregroundProxy(proxy: {
  binary: string
  dataDir: string
  replacing: Replacing
  notifySocket: string | null
}): ForegroundProxy {
  const { binary, dataDir, notifySocket } = proxy
  const master = `${proxyPaths(dataDir).masterSocket},mode,600,level,admin`
  return {
    file: binary,
    args: [notifySocket === null ? '-W' : '-Ws', '-S', master, ...proxyArguments(dataDir, proxy.replacing)],
    env: { ...proxyEnvironment, ...(notifySocket === null ? {} : { NOTIFY_SOCKET: notifySocket }) },
  }
}

/** Resolves when the master has been told; that a process with the new settings answers is for the caller to see. */
export async function tellReload(dataDir: string, keeper: string): Promise<void> {
  const { masterSocket } = proxyPaths(dataDir)
  const deadline = performance.now() + answerMs
  for (;;) {
    try {
      return await sendReload(masterSocket)
    } catch (cause) {
      // One that just starts, or runs itself anew, does not listen for a moment.
      if (performance.now() < deadline) await delay(50)
      else throw notTold(keeper, cause)
    }
  }
}

function sendReload(masterSocket: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(masterSocket)
    let told = false
    // The master runs itself anew at once, so the connection ends or breaks without an answer.
    const end = (error?: Error): void => {
      socket.destroy()
      if (told) resolve()
      else reject(error ?? new Error('the connection ended'))
    }
    socket.setTimeout(answerMs, end)
    socket.on('error', end)
    socket.on('close', () => end())
    socket.on('connect', () => socket.write('reload\n', () => (told = true)))
    socket.resume()
  })
}

function notTold(keeper: string, cause: unknown): SlipwayError {
  return new SlipwayError('unavailable', `The proxy has other settings, and ${keeper} cannot be told to reload it.`, {
    hint:
      keeper === 'systemd' ? 'Start it anew: systemctl restart "slipway-proxy*"' : 'Start the proxy’s container anew.',
    cause,
  })
}
