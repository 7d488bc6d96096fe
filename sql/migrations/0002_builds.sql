-- works with: 0.2.0
-- A build is a row of its own: deploys that want the same image wait for the same build.

alter table builds
  -- The server that makes it; every record of its making names it, so that whoever lost it records nothing.
  add column lease_owner text,
  -- With the message in `error`, what all deploys are told that waited for it.
  add column error_code text,
  add column error_hint text;

-- Those from before belonged to one deploy each.
update deploys d set build_id = first.id
  from builds b
  join (select key, min(id) as id from builds where state in ('waiting', 'running') group by key) first on first.key = b.key
  where d.build_id = b.id and d.state in ('waiting', 'running') and b.state in ('waiting', 'running');
update builds set state = 'cancelled', finished_at = now()
  where state in ('waiting', 'running')
    and id not in (select min(id) from builds where state in ('waiting', 'running') group by key);

create unique index one_build_for_each_key on builds (key) where state in ('waiting', 'running');
create index deploys_by_build on deploys (build_id);
