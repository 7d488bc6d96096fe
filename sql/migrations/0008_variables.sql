-- works with: 0.2.0
-- The variables of environments, sealed, and the keys that they are sealed with.

create table sealing_keys (
  id integer generated always as identity primary key,
  -- `values`: seals variables, the newest one all that is written; `derived`: what marks and environments' SECRET_KEY are
  -- derived from, there is one.
  purpose text not null check (purpose in ('values', 'derived')),
  created_at timestamptz not null default now()
);
create unique index one_derived_key on sealing_keys (purpose) where purpose = 'derived';

-- A key as SLIPWAY_SECRET_KEY wraps it: by two of them while one takes the other's place.
create table sealing_key_wraps (
  key_id integer not null references sealing_keys on delete cascade,
  -- Tells one SLIPWAY_SECRET_KEY from another and says nothing of it.
  wrapper text not null,
  wrapped bytea not null,
  created_at timestamptz not null default now(),
  primary key (key_id, wrapper)
);

create table variables (
  environment_id bigint not null references environments on delete cascade,
  name text not null,
  key_id integer not null references sealing_keys,
  sealed bytea not null,
  -- Keyed hash of name, value and what it is for: equal marks are equal variables, in whatever environment or release.
  mark bytea not null,
  bytes integer not null,
  -- Its value is never shown again.
  secret boolean not null default false,
  -- Builds get it, too.
  build boolean not null default false,
  -- The environment's variables_version since when it is as it is.
  version bigint not null,
  changed_by text not null,
  changed_at timestamptz not null default now(),
  primary key (environment_id, name)
);
create index variables_by_key on variables (key_id);

-- Counts the changes of an environment's variables.
alter table environments add column variables_version bigint not null default 0;

alter table releases
  -- What `variables` is sealed with; null where there are none.
  add column variables_key_id integer references sealing_keys,
  -- Name → mark, in hexadecimal digits.
  add column variable_marks jsonb not null default '{}';
create index releases_by_variables_key on releases (variables_key_id) where variables_key_id is not null;
