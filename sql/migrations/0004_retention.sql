-- works with: 0.1.0
-- What is kept for how long: images of old releases, logs and events go, and what happens each night is noted.

-- Kept whatever else goes.
alter table releases add column pinned boolean not null default false;
create index releases_by_build on releases (build_id);

-- From here on nothing may start from this build; its image goes from the engine, its row stays.
alter table builds add column image_removed_at timestamptz;
create index builds_with_image on builds (app_id) where state = 'succeeded' and image_removed_at is null;
create index builds_by_digest on builds ((image ->> 'digest')) where image_removed_at is null;

alter table deploys add column log_removed_at timestamptz;
create index deploys_with_log on deploys (finished_at, id) where log_removed_at is null and finished_at is not null;
create index deploys_by_release on deploys (release_id);
create index events_by_time on events (at);

-- One row: the nightly work, as it was done last.
create table nightly (
  one boolean primary key default true check (one),
  begun_at timestamptz not null,
  ended_at timestamptz,
  -- What each part did or why it failed.
  outcome jsonb not null default '{}'
);
