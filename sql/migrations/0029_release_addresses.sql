-- works with: 0.2.0
-- Releases that run again because somebody asks for them at their own address, and those that were made again.

-- `waking`: started for whoever asks for its release, and not checked yet; `awake`: it answers at that address alone.
alter table instances drop constraint instances_state_check;
alter table instances add constraint instances_state_check
  check (state in ('starting', 'serving', 'waking', 'awake', 'draining', 'retired'));

-- Few, whatever the number of releases.
create index instances_awake on instances (release_id) where state in ('waking', 'awake');

-- Of which release, whose image is gone, this deploy makes a new one.
alter table deploys add column rebuild_of_release_id bigint references releases on delete set null;
create index deploys_by_rebuilt on deploys (rebuild_of_release_id) where rebuild_of_release_id is not null;
