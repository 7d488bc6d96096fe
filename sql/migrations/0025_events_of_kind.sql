-- works with: 0.2.0
-- The newest entries of some kinds, over all apps: without it everything that ever happened was read for those that are rare.
create index events_of_kind on events (kind, id desc);
