-- works with: 0.2.0
-- What served before a swap stays ready for a while, so that going back to it starts nothing; and deploys that are watched.

-- Until then a draining instance stays as it was. Null, or over: it finishes what it has and goes.
alter table instances add column warm_until timestamptz;

alter table deploys
  -- Whose instances serve, when it started none of its own: it went back to some that were ready.
  add column instances_of bigint references deploys,
  -- Until then it is looked whether it does harm. Null: nobody looks, or it is over.
  add column watch_until timestamptz,
  -- The deploy that this one goes back from by itself.
  add column reverts bigint references deploys;

alter table deploys drop constraint deploys_state_check;
alter table deploys add constraint deploys_state_check
  check (state in ('waiting', 'running', 'live', 'reverted', 'failed', 'cancelled', 'superseded'));

create index deploys_watched on deploys (id) where watch_until is not null;
create index deploys_by_instances on deploys (instances_of) where instances_of is not null;
create index deploys_reverting on deploys (reverts) where reverts is not null;
