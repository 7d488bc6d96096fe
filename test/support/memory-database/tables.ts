import type { AppConfig, BuiltImage } from '../../../src/builds/index.ts'
import type { DeployKind, DeployState, DeployStep, LogKind } from '../../../src/deploys/index.ts'
import { makeTable, type Table } from './table.ts'

/*
 * The tables of sql/schema.sql that deploys and builds use, with their unique indexes. Times are milliseconds.
 */

export interface AppRow {
  id: number
  name: string
  last_build_number: number
}

export interface EnvironmentRow {
  id: number
  app_id: number
  name: string
  label: string
  live: boolean
  supersede: 'waiting' | 'running'
}

export interface DeployRow {
  id: number
  environment_id: number
  kind: DeployKind
  branch: string | null
  commit: string
  requested_by: string
  push_id: number | null
  state: DeployState
  step: DeployStep | null
  build_id: number | null
  release_id: number | null
  superseded_by: number | null
  cancel_requested_at: number | null
  cancel_requested_by: string | null
  waiting_for: string | null
  commands_ran: boolean
  error_code: string | null
  error_message: string | null
  lease_owner: string | null
  lease_until: number | null
  created_at: number
  started_at: number | null
  finished_at: number | null
  replaceable: boolean
  priority: number
  force_rebuild: boolean
  from_release_id: number | null
  variables_of: 'release' | 'environment' | null
  holds: boolean
  swap_agreed: boolean | null
}

export interface StepRow {
  deploy_id: number
  step: DeployStep
  started_at: number
  finished_at: number | null
  outcome: 'done' | 'failed' | 'cancelled' | null
}

export interface LogRow {
  deploy_id: number
  seq: number
  at: number
  kind: LogKind
  text: string
}

export interface CommandRow {
  deploy_id: number
  position: number
  label: string
  started_at: number
  exit_code: number | null
}

export interface BuildRow {
  id: number
  app_id: number
  number: number
  commit: string
  key: string
  config: AppConfig
  state: 'waiting' | 'running' | 'succeeded' | 'failed' | 'cancelled'
  image: BuiltImage | null
  finished_at: number | null
  error: string | null
  error_code: string | null
  error_hint: string | null
  lease_owner: string | null
}

export interface ReleaseRow {
  id: number
  environment_id: number
  number: number
  build_id: number
  created_at: number
}

export interface InstanceRow {
  id: number
  release_id: number
  deploy_id: number
  process: string
  position: number
  container_id: string | null
  port: number
  state: 'starting' | 'serving' | 'draining' | 'retired'
  drain_until: number | null
  drain_ms: number
  stop_ms: number
}

export interface RouteRow {
  environment_id: number
  release_id: number
  deploy_id: number
}

export interface AddressRow {
  address: string
  instance_id: number | null
  reusable_at: number | null
}

export interface EventRow {
  kind: string
  deploy_id: number | null
}

export interface Tables {
  readonly apps: Table<AppRow>
  readonly environments: Table<EnvironmentRow>
  readonly deploys: Table<DeployRow>
  readonly steps: Table<StepRow>
  /** Of one deploy. */
  readonly log: (deployId: number) => Table<LogRow>
  readonly commands: Table<CommandRow>
  readonly builds: Table<BuildRow>
  readonly releases: Table<ReleaseRow>
  readonly releaseNumbers: Table<{ app_id: number; environment_name: string; last_number: number }>
  readonly instances: Table<InstanceRow>
  readonly routes: Table<RouteRow>
  readonly addresses: Table<AddressRow>
  readonly events: Table<EventRow>
}

const unfinished = ['waiting', 'running']

export const makeTables = (): Tables => {
  const logs = new Map<number, Table<LogRow>>()
  return {
    apps: makeTable<AppRow>({}),
    environments: makeTable<EnvironmentRow>({ environments_label_key: (row) => row.label }),
    deploys: makeTable<DeployRow>({
      one_running_deploy: (row) => (row.state === 'running' ? row.environment_id : null),
      one_waiting_replaceable: (row) => (row.state === 'waiting' && row.replaceable ? row.environment_id : null),
    }),
    steps: makeTable<StepRow>({ deploy_steps_pkey: (row) => `${row.deploy_id} ${row.step}` }),
    log(deployId) {
      let log = logs.get(deployId)
      if (log === undefined) logs.set(deployId, (log = makeTable<LogRow>({ deploy_log_pkey: (row) => row.seq })))
      return log
    },
    commands: makeTable<CommandRow>({ release_commands_pkey: (row) => row.deploy_id * 1e3 + row.position }),
    builds: makeTable<BuildRow>({
      one_build_for_each_key: (row) => (unfinished.includes(row.state) ? row.key : null),
      builds_app_id_number_key: (row) => row.app_id * 1e6 + row.number,
    }),
    releases: makeTable<ReleaseRow>({
      releases_environment_id_number_key: (row) => row.environment_id * 1e6 + row.number,
    }),
    releaseNumbers: makeTable({ release_numbers_pkey: (row) => `${row.app_id} ${row.environment_name}` }),
    instances: makeTable<InstanceRow>({
      instances_deploy_id_process_position_key: (row) => `${row.deploy_id} ${row.process} ${row.position}`,
    }),
    routes: makeTable<RouteRow>({ routes_pkey: (row) => row.environment_id }),
    addresses: makeTable<AddressRow>({
      addresses_pkey: (row) => row.address,
      addresses_instance_id_key: (row) => row.instance_id,
    }),
    events: makeTable<EventRow>({}),
  }
}
