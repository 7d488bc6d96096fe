-- works with: 0.2.0
-- Values of variables that leaked: replaced in every release that had them, refused when somebody sets them again, and masked for as long
-- as something that started before may print them.
create table revoked_values (
  id bigint generated always as identity primary key,
  app_id bigint not null references apps on delete cascade,
  name text not null,
  -- Of the value as one that builds do not get.
  mark bytea not null,
  key_id integer not null references sealing_keys,
  sealed bytea not null,
  -- Somewhere it was masked.
  secret boolean not null,
  revoked_by text not null,
  revoked_at timestamptz not null default now(),
  unique (app_id, name, mark)
);
create index revoked_values_by_key on revoked_values (key_id);

-- What started before has other variables than the release has now.
alter table releases add column variables_revoked_at timestamptz;
