-- works with: 0.2.0
-- What environments do at certain times: the jobs of what serves there, and each run of one.

create table cron_jobs (
  environment_id bigint not null references environments on delete cascade,
  label text not null,
  schedule text not null,
  timezone text not null,
  run text not null,
  -- Moved in the transaction that records the run: so a time is dealt with once.
  next_due_at timestamptz not null,
  -- How often it has failed in a row, since when, and when that was told last.
  failures integer not null default 0,
  failing_since timestamptz,
  failure_told_at timestamptz,
  primary key (environment_id, label)
);
create index cron_jobs_due on cron_jobs (next_due_at);

create table cron_runs (
  id bigint generated always as identity primary key,
  environment_id bigint not null references environments on delete cascade,
  -- The deploy whose release it is of.
  deploy_id bigint not null references deploys on delete cascade,
  label text not null,
  due_at timestamptz not null,
  -- Null: the schedule.
  requested_by text,
  state text not null check (state in ('waiting', 'running', 'succeeded', 'failed', 'skipped')),
  started_at timestamptz,
  finished_at timestamptz,
  exit_code integer,
  error text,
  -- What it printed last.
  tail text[] not null default '{}',
  check ((state in ('waiting', 'running')) = (finished_at is null)),
  unique (environment_id, label, due_at)
);
create unique index cron_runs_one_open on cron_runs (environment_id, label) where state in ('waiting', 'running');
create index cron_runs_open on cron_runs (due_at, id) where state in ('waiting', 'running');
create index cron_runs_by_deploy on cron_runs (deploy_id);
create index cron_runs_by_end on cron_runs (finished_at) where finished_at is not null;
