import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { SlipwayError } from '../../kernel/errors.ts'

/** systemd, as far as a service needs it. */
export interface Systemd {
  /** Where units of the machine's administrator lie. */
  readonly folder: string
  reload(): Promise<void>
  enable(units: readonly string[]): Promise<void>
  disable(units: readonly string[]): Promise<void>
  /** Resolve when it is done; a unit that does not start is an error with its last lines. */
  start(unit: string): Promise<void>
  restart(unit: string): Promise<void>
  stop(unit: string): Promise<void>
  state(unit: string): Promise<UnitState>
}

export interface UnitState {
  readonly unit: string
  /** `active`, `inactive`, `failed`, `activating`, … */
  readonly active: string
  /** Started with the machine. */
  readonly enabled: boolean
  readonly pid: number | null
  /** It does its work when the machine starts and is over then. */
  readonly once: boolean
  /** How often it came back by itself. */
  readonly restarts: number
}

const limitMs = 31 * 60_000

export function makeSystemd(folder = '/etc/systemd/system'): Systemd {
  if (!existsSync('/run/systemd/system')) {
    throw new SlipwayError('unavailable', 'systemd does not run this machine, so there is no service of it here.', {
      hint: 'Let what starts this machine run npm start -- --no-demo, or use docker/compose.yml.',
    })
  }
  const act = (verb: string) => async (unit: string) => {
    const { code, text } = await systemctl([verb, unit])
    if (code === 0) return
    const journal = await run('journalctl', [`--unit=${unit}`, '--lines=15', '--no-pager', '--output=cat'])
    throw new SlipwayError('unavailable', `systemctl ${verb} ${unit} failed.`, {
      hint: `Look at: journalctl -u ${unit}`,
      evidence: [...text.split('\n').slice(0, 2), ...journal.text.split('\n')].filter((line) => line !== ''),
    })
  }
  const tell = async (...args: string[]): Promise<void> => {
    const { code, text } = await systemctl(args)
    if (code !== 0) {
      throw new SlipwayError('unavailable', `systemctl ${args[0]} failed.`, { evidence: text.split('\n') })
    }
  }
  return {
    folder,
    reload: () => tell('daemon-reload'),
    enable: (units) => tell('enable', '--quiet', ...units),
    disable: (units) => tell('disable', '--quiet', ...units),
    start: act('start'),
    restart: act('restart'),
    stop: act('stop'),
    async state(unit) {
      const names = ['ActiveState', 'UnitFileState', 'MainPID', 'NRestarts', 'Type']
      const { text } = await systemctl(['show', unit, `--property=${names.join(',')}`])
      return parseState(unit, text)
    },
  }
}

/** What `systemctl show` prints, one `Name=value` in each line. */
export function parseState(unit: string, text: string): UnitState {
  const value = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1] ?? ''
  const pid = Number(value('MainPID'))
  return {
    unit,
    active: value('ActiveState') || 'unknown',
    enabled: value('UnitFileState') === 'enabled',
    pid: pid > 0 ? pid : null,
    once: value('Type') === 'oneshot',
    restarts: Number(value('NRestarts')) || 0,
  }
}

function systemctl(args: readonly string[]): Promise<{ code: number; text: string }> {
  return run('systemctl', args)
}

function run(program: string, args: readonly string[]): Promise<{ code: number; text: string }> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: limitMs, env: { ...process.env, LC_ALL: 'C' } }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      resolve({ code, text: `${stdout}${stderr}${stdout === '' && stderr === '' ? (error?.message ?? '') : ''}` })
    })
  })
}
