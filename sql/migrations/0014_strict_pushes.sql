-- works with: 0.2.0
-- Strict pushes: branches move only when every deploy has gone live, and none swaps before all have passed their checks.

-- Null: not of a strict push. False: it does not swap before all deploys of its push have passed. True: they have.
alter table deploys add column swap_agreed boolean;
create index deploys_strict on deploys (push_id) where swap_agreed is not null;

alter table pushes drop constraint pushes_state_check;
alter table pushes add constraint pushes_state_check
  check (state in ('receiving', 'received', 'lost', 'strict', 'rejected'));
-- How many deploys a strict push caused.
alter table pushes add column deploy_count integer;
create index pushes_strict on pushes (id) where state = 'strict';

-- Refs that wait for the end of a strict push: nobody else moves them meanwhile.
create table ref_leases (
  app_id bigint not null references apps on delete cascade,
  ref text not null,
  push_id bigint not null references pushes on delete cascade,
  primary key (app_id, ref)
);
create index ref_leases_by_push on ref_leases (push_id);
