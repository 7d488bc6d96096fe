-- The spine: apps, environments, pushes, builds, releases, deploys and their logs, instances and their addresses, events.
-- Times are timestamptz and come from the database's clock.

create table tokens (
  id bigint generated always as identity primary key,
  name text not null,
  -- SHA-256 of the token; the token itself is nowhere.
  hash bytea not null unique,
  role text not null check (role in ('admin')),
  created_at timestamptz not null default now()
);

create table apps (
  id bigint generated always as identity primary key,
  name text not null unique,
  -- The branch that environments without one of their own follow; null until a first push.
  default_branch text,
  -- Set by a person: arriving branches do not change it any more.
  default_branch_pinned boolean not null default false,
  last_build_number integer not null default 0,
  created_at timestamptz not null default now()
);

create table environments (
  id bigint generated always as identity primary key,
  app_id bigint not null references apps on delete cascade,
  name text not null,
  -- The one address: test--shop, or shop for the live one.
  label text not null unique,
  live boolean not null,
  -- null follows the app's default branch.
  branch text,
  deploy_on_push boolean not null,
  allow_forced_push boolean not null,
  created_at timestamptz not null default now(),
  unique (app_id, name)
);
create unique index one_live_environment on environments (app_id) where live;

-- Release numbers outlive their environment: a number is never used again.
create table release_numbers (
  app_id bigint not null references apps on delete cascade,
  environment_name text not null,
  last_number integer not null,
  primary key (app_id, environment_name)
);

-- The journal of received pushes: written before a ref moves, so that a crash between Git and the database is found at start.
create table pushes (
  id bigint generated always as identity primary key,
  app_id bigint not null references apps on delete cascade,
  pushed_by text not null,
  state text not null check (state in ('receiving', 'received', 'lost')),
  -- [{"ref", "old", "new"}]
  updates jsonb not null,
  options jsonb not null default '[]',
  created_at timestamptz not null default now()
);
create index pushes_receiving on pushes (id) where state = 'receiving';

create table builds (
  id bigint generated always as identity primary key,
  app_id bigint not null references apps on delete cascade,
  number integer not null,
  commit text not null,
  -- app, commit, build section, platform, keyed hash of build-time variables: what makes two builds the same.
  key text not null,
  -- slipway.yml, validated and frozen with its defaults.
  config jsonb not null,
  state text not null check (state in ('waiting', 'running', 'succeeded', 'failed', 'cancelled')),
  host text,
  image jsonb,
  error text,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  unique (app_id, number),
  check ((state = 'succeeded') = (image is not null))
);
create index builds_by_commit on builds (app_id, commit);

create table releases (
  id bigint generated always as identity primary key,
  environment_id bigint not null references environments on delete cascade,
  number integer not null,
  build_id bigint not null references builds,
  -- The users' variables as they were, encrypted.
  variables bytea,
  created_at timestamptz not null default now(),
  unique (environment_id, number)
);

create table deploys (
  id bigint generated always as identity primary key,
  environment_id bigint not null references environments on delete cascade,
  kind text not null check (kind in ('push', 'deploy')),
  branch text,
  commit text not null,
  requested_by text not null,
  push_id bigint references pushes on delete set null,
  state text not null check (state in ('waiting', 'running', 'live', 'failed', 'cancelled', 'superseded')),
  -- The step that is being done, or where it ended.
  step text check (step in ('build', 'release-commands', 'start', 'check', 'swap')),
  -- What the steps made so far; a restarted Slipway goes on from here.
  build_id bigint references builds,
  release_id bigint references releases,
  superseded_by bigint references deploys,
  cancel_requested_at timestamptz,
  error_code text,
  error_message text,
  -- True once a release command of this deploy has begun: a failure must then say so.
  commands_ran boolean not null default false,
  -- Whoever runs it; every record is fenced by it.
  lease_owner text,
  lease_until timestamptz,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  check ((state in ('waiting', 'running')) = (finished_at is null))
);
create unique index one_running_deploy on deploys (environment_id) where state = 'running';
create unique index one_waiting_push on deploys (environment_id) where state = 'waiting' and kind = 'push';
create index deploys_waiting on deploys (id) where state = 'waiting';
create index deploys_by_environment on deploys (environment_id, id desc);

create table deploy_steps (
  deploy_id bigint not null references deploys on delete cascade,
  step text not null,
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  outcome text check (outcome in ('done', 'failed', 'cancelled')),
  primary key (deploy_id, step)
);

create table deploy_log (
  deploy_id bigint not null references deploys on delete cascade,
  seq integer not null,
  at timestamptz not null default now(),
  kind text not null check (kind in ('step', 'detail', 'output', 'result', 'error', 'machine')),
  text text not null,
  primary key (deploy_id, seq)
);

-- Which release commands of a deploy have begun and how they ended: none is ever run twice.
create table release_commands (
  deploy_id bigint not null references deploys on delete cascade,
  position integer not null,
  label text not null,
  started_at timestamptz not null default now(),
  exit_code integer,
  primary key (deploy_id, position)
);

-- The instances of a release that serve together, from start to retirement.
create table instances (
  id bigint generated always as identity primary key,
  release_id bigint not null references releases on delete cascade,
  deploy_id bigint not null references deploys on delete cascade,
  position integer not null,
  host text not null default 'local',
  container_id text,
  port integer not null,
  -- starting → serving (routed) → draining → retired
  state text not null check (state in ('starting', 'serving', 'draining', 'retired')),
  drain_until timestamptz,
  drain_ms integer not null,
  stop_ms integer not null,
  created_at timestamptz not null default now(),
  unique (release_id, position)
);
create index instances_there on instances (release_id) where state <> 'retired';

-- What each environment's route points to; the proxy's maps are made from this table.
create table routes (
  environment_id bigint primary key references environments on delete cascade,
  release_id bigint references releases,
  changed_at timestamptz not null default now()
);

-- Addresses of instances. A freed one rests until reusable_at.
create table addresses (
  address inet primary key,
  instance_id bigint unique references instances on delete set null,
  reusable_at timestamptz
);
create index addresses_free on addresses (reusable_at) where instance_id is null;

-- What happened, for activity, webhooks, metrics and live streams. Written in the transaction of the change it tells of.
create table events (
  id bigint generated always as identity primary key,
  xid xid8 not null default pg_current_xact_id(),
  at timestamptz not null default now(),
  kind text not null,
  app_id bigint,
  environment_id bigint,
  deploy_id bigint,
  data jsonb not null default '{}'
);
