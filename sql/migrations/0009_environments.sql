-- works with: 0.2.0
-- Environments come, stop and go: what they are just now, who changed them last, and what is left of those that went.

alter table apps
  -- It goes with all that it has; nothing new begins in it.
  add column removing_since timestamptz,
  add column removed_by text;

alter table environments
  -- Grows with each change: whoever changes something can say what he had seen.
  add column version integer not null default 1,
  -- stopped: its route says so, and nothing of it runs; removing: it goes with all that it has.
  add column state text not null default 'active' check (state in ('active', 'stopped', 'removing')),
  add column removed_by text,
  -- A push deploys nothing here until somebody deploys by hand: so after a rollback.
  add column held boolean not null default false;
create index environments_removing on environments (id) where state = 'removing';

-- A release's number is never used again, also not by a later app of the same name.
create table numbers_of_removed_apps (
  app text not null,
  environment_name text not null,
  last_number integer not null,
  primary key (app, environment_name)
);

alter table deploys drop constraint deploys_kind_check;
alter table deploys add constraint deploys_kind_check
  check (kind in ('push', 'deploy', 'promotion', 'rollback', 'start', 'restart'));
alter table deploys
  -- No finished build of another deploy is taken.
  add column force_rebuild boolean not null default false;

-- What goes with an environment is found without looking through everything.
create index instances_by_deploy on instances (deploy_id);
create index routes_by_release on routes (release_id);
create index deploys_by_superseding on deploys (superseded_by) where superseded_by is not null;
create index deploys_by_push on deploys (push_id) where push_id is not null;
create index pushes_by_app on pushes (app_id);
