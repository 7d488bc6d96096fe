-- works with: 0.2.0
-- Who may ask for the sites of an environment, and how much.

-- A password is kept as a hash under a key that only the proxy and Slipway have.
create table environment_passwords (
  environment_id bigint not null references environments on delete cascade,
  user_name text not null,
  hash text not null,
  created_at timestamptz not null default now(),
  primary key (environment_id, user_name)
);

-- Who comes from there needs no password.
create table environment_ranges (
  environment_id bigint not null references environments on delete cascade,
  range cidr not null,
  created_at timestamptz not null default now(),
  primary key (environment_id, range)
);

create table environment_rules (
  environment_id bigint primary key references environments on delete cascade,
  -- Passwords and ranges hold for the addresses of releases alone.
  only_releases boolean not null default false,
  -- Open requests at each instance; null: what holds for all.
  max_requests integer check (max_requests > 0),
  -- Of one visitor: requests each second, and open ones; null: no limit of its own.
  visitor_rate integer check (visitor_rate > 0),
  visitor_requests integer check (visitor_requests > 0)
);

-- Who may see the addresses of the live environment's releases. Others follow their environment.
alter table apps add column release_addresses text not null default 'protected'
  check (release_addresses in ('off', 'protected', 'public'));
create index apps_with_release_addresses on apps (id) where release_addresses <> 'protected';
