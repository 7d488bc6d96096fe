-- works with: 0.1.0
-- Who did what, from where. Names are kept beside the ids: what was removed is still told of.

alter table events
  add column app text,
  add column environment text,
  -- Who did it; null where an older Slipway wrote it.
  add column actor text,
  -- From where: `cli 203.0.113.9`, `git 203.0.113.9`, `api 203.0.113.9`; null for what Slipway does itself.
  add column origin text;
update events ev set
  app = (select name from apps where id = ev.app_id),
  environment = (select name from environments where id = ev.environment_id),
  actor = coalesce((select requested_by from deploys where id = ev.deploy_id), ev.data ->> 'by');

-- Followed in the order in which transactions began, listed by the newest.
create index events_in_order on events (xid, id);
create index events_of_app on events (app_id, id desc);
create index events_of_environment on events (app_id, environment, id desc);
create index events_of_actor on events (actor, id desc);
create index events_of_deploy on events (deploy_id) where deploy_id is not null;
