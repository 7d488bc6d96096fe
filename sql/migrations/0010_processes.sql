-- works with: 0.2.0
-- Instances have a process (web, worker, …) and belong to the deploy that started them: a release may be started again (restart,
-- scale) beside itself.

alter table instances add column process text not null default 'web';
alter table instances drop constraint instances_release_id_position_key;
alter table instances add constraint instances_deploy_id_process_position_key unique (deploy_id, process, position);

-- The deploy whose instances the route leads to.
alter table routes add column deploy_id bigint references deploys (id);
create index routes_by_deploy on routes (deploy_id);
update routes t set deploy_id = coalesce(
  (select max(i.deploy_id) from instances i where i.release_id = t.release_id),
  (select max(d.id) from deploys d where d.release_id = t.release_id)
);

alter table deploys drop constraint deploys_kind_check;
alter table deploys add constraint deploys_kind_check
  check (kind in ('push', 'deploy', 'promotion', 'rollback', 'restart', 'scale', 'start'));

-- How many instances of a process somebody asked for, in place of what slipway.yml says; from the next deploy on.
create table scales (
  environment_id bigint not null references environments (id) on delete cascade,
  process text not null,
  instances integer not null check (instances between 0 and 50),
  changed_at timestamptz not null default now(),
  changed_by text not null,
  primary key (environment_id, process)
);
