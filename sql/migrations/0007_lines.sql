-- works with: 0.1.0
-- What waits in an environment's line, in which order, what may take its place, and who holds what runs.

alter table deploys drop constraint deploys_kind_check;
alter table deploys add constraint deploys_kind_check check (kind in ('push', 'deploy', 'promotion', 'rollback'));
alter table deploys
  -- A newer push may take its place.
  add column replaceable boolean not null default false,
  -- Higher goes first.
  add column priority smallint not null default 0,
  -- What it waits for, as its pusher was told last.
  add column waiting_for text,
  add column cancel_requested_by text;
update deploys set replaceable = true where kind = 'push';

drop index one_waiting_push;
create unique index one_waiting_replaceable on deploys (environment_id) where state = 'waiting' and replaceable;
drop index deploys_waiting;
create index deploys_waiting on deploys (priority desc, id) where state = 'waiting';
create index deploys_leases on deploys (lease_until) where state = 'running';

-- Whether a newer push only takes the place of a waiting one, or also of a running one that has not reached its release
-- commands.
alter table environments
  add column supersede text not null default 'waiting' check (supersede in ('waiting', 'running'));
