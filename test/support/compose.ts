import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { root } from './root.ts'

export type Part = 'postgres' | 'proxy' | 'slipway'

/** What docker/compose.yml says of a container. */
export interface Service {
  readonly image: string
  readonly build: { readonly context: string; readonly dockerfile: string }
  readonly network_mode: string
  readonly pid: string
  readonly restart: string
  readonly read_only: boolean
  readonly tmpfs: readonly string[]
  readonly environment: Readonly<Record<string, string | null>>
  readonly volumes: readonly string[]
  readonly command: readonly string[]
  readonly cap_drop: readonly string[]
  readonly cap_add: readonly string[]
  readonly security_opt: readonly string[]
  readonly stop_grace_period: string
  readonly stop_signal?: string
  readonly shm_size?: string
  readonly logging: unknown
}

/** The services of docker/compose.yml, with these settings in the place of its variables. */
export function readCompose(settings: Readonly<Record<string, string>> = {}): Record<Part, Service> {
  const text = readFileSync(join(root, 'docker/compose.yml'), 'utf8')
  const filled = text.replaceAll(
    /\$\{([A-Z_]+):-([^}]*)\}/g,
    (_, name: string, other: string) => settings[name] ?? other,
  )
  return (parse(filled, { merge: true }) as { services: Record<Part, Service> }).services
}
