import { exits, Failure } from '../failure.ts'
import { askSecret } from '../prompt.ts'
import type { Session } from '../session.ts'

const progressEveryMs = 500
const mostSilentMs = 15_000

export async function rotateKey(session: Session, _: [], options: { secretKey?: boolean }): Promise<void> {
  const { out } = session
  const path = '/server/key-rotation'
  const body = options.secretKey === true ? { secretKey: await askSecret('The new secret key: ') } : {}
  const begun = await session.client().call<{ left: number; isKept: boolean }>('POST', path, body)
  if (!begun.isKept) {
    out.note(
      'From the next start on Slipway needs the new key in SLIPWAY_SECRET_KEY; the first start with it ends the old one.',
    )
  }
  for (let { left } = begun, movedMs = performance.now(); left > 0; ) {
    out.note(`${left} left to be sealed; Ctrl-C does not stop it.`)
    await new Promise((resolve) => setTimeout(resolve, progressEveryMs))
    const now = (await session.client().call<{ left: number }>('GET', path)).left
    if (now < left) movedMs = performance.now()
    left = now
    if (performance.now() - movedMs > mostSilentMs) {
      throw new Failure(
        exits.failed,
        `${left} are still sealed with an older key, and it does not go on.`,
        'The server’s log says why. One that was damaged has to be set anew; then do this again.',
      )
    }
  }
  out.data({ left: 0, isKept: begun.isKept })
  out.line('All variables are sealed with a new key.')
  if (options.secretKey === true && begun.isKept)
    out.line('The new secret key is in the file secret-key of the data folder: keep a copy of it.')
}
