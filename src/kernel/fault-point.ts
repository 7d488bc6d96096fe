/*
 * For tests of crashes: a place at which the process can be told to die, as by `kill -9`. Without SLIPWAY_FAULT_POINT (which
 * only the tests set) every one does nothing.
 */

let armed: string | null = null

/** Chooses the point at which this process will die; null: none. */
export function armFaultPoint(name: string | null): void {
  armed = name
}

/** Ends the process on the spot when this point was chosen: nothing is written, closed or told any more. */
export function faultPoint(name: string): void {
  if (name === armed) process.kill(process.pid, 'SIGKILL')
}
