-- works with: 0.1.0
-- The deploy of an environment that ended last: rollbacks go first and cancels come at any time, so it need not be the newest.
create index deploys_ended on deploys (environment_id, finished_at desc, id desc) where finished_at is not null;
