-- works with: 0.2.0
-- Deploys that begin from a release instead of a build: going back, promoting.
alter table deploys
  -- Whose image is taken. Another environment's release may go before its promotion does.
  add column from_release_id bigint references releases on delete set null,
  -- Whether the new release has the variables of that one, or those that its environment has when it is made. Null: it is built.
  add column variables_of text check (variables_of in ('release', 'environment')),
  -- While it has not ended, and after it went live, pushes to its environment are held.
  add column holds boolean not null default false;

create index deploys_by_origin on deploys (from_release_id) where from_release_id is not null;
create index deploys_that_hold on deploys (environment_id) where holds and finished_at is null;
