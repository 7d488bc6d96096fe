-- works with: 0.1.0
-- Where branches stand and how far what is live is behind them, so that no page asks git for it.

create table branches (
  app_id bigint not null references apps on delete cascade,
  name text not null,
  head text not null,
  primary key (app_id, name)
);
-- Apps from before have branches that are not in the table yet.
alter table apps add column branches_known boolean not null default false;
alter table apps alter column branches_known set default true;

-- How many commits lie between what is live and the branch's head. Holds for exactly this pair of commits.
create table commit_counts (
  environment_id bigint primary key references environments on delete cascade,
  deployed text not null,
  head text not null,
  -- Commits of the branch that are not deployed.
  undeployed integer not null,
  -- Deployed commits that are not in the branch (any more).
  left_out integer not null
);
