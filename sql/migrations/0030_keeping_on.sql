-- works with: 0.2.0
-- Environments whose deploys are held back, sites that are being worked on, and finished builds that are taken again.

-- Null: not locked.
alter table environments add column locked_at timestamptz;
alter table environments add column locked_by text;
alter table environments add column lock_reason text;
-- Deploys wait for the unlock; else they are refused.
alter table environments add column lock_waits boolean not null default false;
alter table environments add column lock_allows_rollbacks boolean not null default false;
alter table environments add constraint environments_lock_check
  check ((locked_at is null) = (locked_by is null) and (locked_at is null) = (lock_reason is null));

-- The address answers with a page that says so, but to who comes from these ranges.
create table environment_maintenance (
  environment_id bigint primary key references environments on delete cascade,
  -- Empty: the page's own words.
  message text not null default '',
  ranges cidr[] not null default '{}',
  begun_by text not null,
  begun_at timestamptz not null default now()
);

-- The newest finished build of a key is taken instead of another being made.
create index builds_kept on builds (key, id) where state = 'succeeded' and image_removed_at is null;
