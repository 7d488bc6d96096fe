-- works with: 0.1.0
-- What is being removed is looked for every half minute.
create index apps_removing on apps (id) where removing_since is not null;
